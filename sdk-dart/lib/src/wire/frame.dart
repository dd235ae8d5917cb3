// The schema tells every field; here they have the same names.
// ignore_for_file: public_member_api_docs
import 'dart:typed_data';

/// One thing said by a body or its sidecar to the other: `specs/proto/cbs/sidecar/v1/sidecar.proto`, where every
/// field is told.
sealed class Frame {
  const Frame();
}

/// Sidecar to body, once, first of all.
final class Hello extends Frame {
  const Hello({
    this.protocol = 0,
    this.sdk = '',
    this.language = '',
    this.cells = const [],
    this.frameBytesMax = 0,
    this.credit = 0,
    this.inFlightMax = 0,
  });

  final int protocol;
  final String sdk;
  final String language;
  final List<String> cells;
  final int frameBytesMax;
  final int credit;
  final int inFlightMax;
}

/// Body to sidecar, once, in answer to hello.
final class Welcome extends Frame {
  const Welcome({
    this.protocol = 0,
    this.version = '',
    this.body = '',
    this.namespace = '',
    this.cells = const [],
    this.frameBytesMax = 0,
    this.credit = 0,
    this.pingMs = 0,
    this.instance = 0,
    this.inFlightMax = 0,
    this.notesMax = 0,
  });

  final int protocol;
  final String version;
  final String body;
  final String namespace;
  final List<CellSpec> cells;
  final int frameBytesMax;
  final int credit;
  final int pingMs;
  final int instance;

  /// How many requests and questions of the sidecar may be unanswered at once.
  final int inFlightMax;

  /// How many notes about one request the body keeps; 0: it knows none.
  final int notesMax;
}

/// A cell as its spec describes it.
final class CellSpec {
  const CellSpec({
    this.name = '',
    this.revision = '',
    this.config,
    this.concurrency = 0,
    this.timeoutMs = 0,
  });

  final String name;
  final String revision;

  /// The spec's config as a JSON text; absent where it is empty.
  final Uint8List? config;
  final int concurrency;
  final int timeoutMs;
}

/// Sidecar to body, once: requests may come.
final class Ready extends Frame {
  const Ready();
}

/// Either way: a call to be answered, or from the sidecar an event to be published.
final class Request extends Frame {
  const Request({required this.id, required this.envelope, this.within = 0});

  final int id;

  /// An envelope's bytes: a view.
  final Uint8List envelope;
  final int within;
}

/// Either way: the answer to a request.
final class Reply extends Frame {
  const Reply({required this.id, required this.envelope});

  final int id;

  /// An envelope's bytes, or a plain payload: a view.
  final Uint8List envelope;
}

/// Either way: whoever sent this request has given up.
final class Cancel extends Frame {
  const Cancel(this.id);

  final int id;
}

/// Sidecar to body: a line for the standard output of the body's program.
final class Print extends Frame {
  const Print(this.line, {this.within = 0});

  final String line;
  final int within;
}

/// Sidecar to body: a question to the person at the body's program.
final class Ask extends Frame {
  const Ask({required this.id, required this.question, this.within = 0});

  final int id;
  final String question;
  final int within;
}

/// Sidecar to body: a line for the body's log.
final class Log extends Frame {
  const Log({
    this.level = Level.info,
    this.message = '',
    this.within = 0,
    this.logger = '',
    this.fields = const [],
  });

  final Level level;
  final String message;
  final int within;
  final String logger;
  final List<(String, String)> fields;
}

/// How much a line of the log matters; in the order of the protocol's numbers.
enum Level { info, error, warn, debug }

/// Sidecar to body: something that a cell's author says about a request.
final class Note extends Frame {
  const Note({this.within = 0, this.attribute, this.event, this.dropped = 0});

  final int within;
  final (String, String)? attribute;
  final NoteEvent? event;
  final int dropped;
}

/// Something that happened while a request was handled.
final class NoteEvent {
  const NoteEvent(this.name, {this.timeNs = 0, this.attributes = const []});

  final String name;
  final int timeNs;
  final List<(String, String)> attributes;
}

/// Either way: so many more bytes may be sent to me.
final class Credit extends Frame {
  const Credit(this.bytes);

  final int bytes;
}

/// Body to sidecar: are you well?
final class Ping extends Frame {
  const Ping(this.nonce);

  final int nonce;
}

/// Sidecar to body: I am, and so busy.
final class Pong extends Frame {
  const Pong({this.nonce = 0, this.inFlight = 0, this.queued = 0, this.lagUs = 0, this.lockWaitUs = 0});

  final int nonce;
  final int inFlight;
  final int queued;
  final int lagUs;
  final int lockWaitUs;
}

/// Body to sidecar: no more requests will come.
final class Drain extends Frame {
  const Drain({this.timeoutMs = 0});

  final int timeoutMs;
}

/// Either way, last of all.
final class Goodbye extends Frame {
  const Goodbye([this.reason = '']);

  final String reason;
}
