import 'dart:async';
import 'dart:collection';
import 'dart:convert';
import 'dart:io';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/wire/byte_writer.dart';
import 'package:cbs/src/wire/envelope_reader.dart';
import 'package:cbs/src/wire/envelope_writer.dart';
import 'package:cbs/src/wire/frame.dart';
import 'package:cbs/src/wire/frame_reader.dart';
import 'package:cbs/src/wire/frame_splitter.dart';
import 'package:cbs/src/wire/frame_writer.dart';

/// A body that says what the test tells it to, over a real Unix socket.
final class ScriptedBody {
  ScriptedBody._(this._folder, this._server);

  /// Listens in a folder of its own.
  static Future<ScriptedBody> listen() async {
    final folder = await Directory.systemTemp.createTemp('cbs-dart-');
    final address = InternetAddress('${folder.path}/socket', type: InternetAddressType.unix);
    return ScriptedBody._(folder, await ServerSocket.bind(address, 0));
  }

  /// The longest that anything is waited for.
  static const patience = Duration(seconds: 20);

  final Directory _folder;
  final ServerSocket _server;
  late final Socket _socket;
  final _frames = Queue<Frame>();
  Completer<void>? _more;
  bool _isClosed = false;

  /// How many bytes of frames that cost have come.
  int cost = 0;

  /// How many bytes of frames that cost have been sent.
  int spent = 0;

  final _unsent = Queue<Uint8List>();

  /// How much credit the sidecar gave, by its hello and since.
  int given = 0;

  /// The socket's path.
  String get path => '${_folder.path}/socket';

  /// Waits for the sidecar, and for its hello.
  Future<Hello> accept() async {
    _socket = await _server.first.timeout(patience);
    final splitter = FrameSplitter(frameBytesMax: 1 << 30, onFrame: _onFrame);
    _socket.listen(splitter.add, onDone: _close, onError: (_) => _close());
    unawaited(_socket.done.catchError((Object _) {}));
    final hello = await next<Hello>();
    given += hello.credit;
    return hello;
  }

  /// Accepts, welcomes, and waits until the sidecar is ready.
  Future<Hello> welcome({
    String cell = 'demo.echo',
    Map<String, Object?>? config,
    int credit = 1 << 40,
    int frameBytesMax = 1 << 24,
    int timeoutMs = 5000,
    int inFlightMax = 256,
    int notesMax = 64,
  }) async {
    final hello = await accept();
    say(
      Welcome(
        protocol: 1,
        version: '0.1.0',
        body: 'host-7f3a9c',
        namespace: 'default',
        cells: [
          CellSpec(
            name: cell,
            revision: '8c1f02d9',
            config: config == null ? null : utf8.encode(jsonEncode(config)),
            concurrency: 64,
            timeoutMs: timeoutMs,
          ),
        ],
        frameBytesMax: frameBytesMax,
        credit: credit,
        pingMs: 1000,
        inFlightMax: inFlightMax,
        notesMax: notesMax,
      ),
    );
    await next<Ready>();
    return hello;
  }

  void _onFrame(Uint8List bytes, int start, int end) {
    final frame = FrameReader.read(bytes, start, end);
    if (frame == null) throw StateError('the sidecar sent a frame of no known kind');
    switch (frame) {
      case Credit(:final bytes):
        given += bytes;
        _pump();
        return;
      case Request() || Reply() || Print() || Ask() || Log() || Note():
        cost += 4 + end - start;
      case Goodbye():
        unawaited(_socket.close());
      case _:
        break;
    }
    _frames.add(frame);
    _wake();
  }

  void _wake() {
    _more?.complete();
    _more = null;
  }

  void _close() {
    _isClosed = true;
    _wake();
  }

  /// The next frame that is no credit; it must be of this kind.
  Future<F> next<F extends Frame>() async {
    final frame = await _next();
    if (frame is F) return frame;
    throw StateError('a $F was expected, there came ${describe(frame)}');
  }

  Future<Frame> _next() async {
    while (_frames.isEmpty) {
      if (_isClosed) throw StateError('the sidecar closed the socket');
      await (_more ??= Completer<void>()).future.timeout(patience);
    }
    return _frames.removeFirst();
  }

  /// Whether the next frame is of this kind: then it is taken.
  Future<bool> nextIs<F extends Frame>() async {
    final frame = await _next();
    if (frame is F) return true;
    _frames.addFirst(frame);
    return false;
  }

  /// Whether all requests and replies have gone out.
  bool get isSpent => _unsent.isEmpty;

  /// What a request of the sidecar is for: the name alone.
  static String target(Request request) => EnvelopeReader.read(request.envelope).target!.name;

  /// Whether nothing has come that was not taken.
  bool get isQuiet => _frames.isEmpty;

  /// Waits until the sidecar has closed the socket.
  Future<void> closed() async {
    while (!_isClosed) {
      await (_more ??= Completer<void>()).future.timeout(patience);
    }
  }

  /// Sends a frame.
  void say(Frame frame) {
    final out = ByteWriter();
    FrameWriter.write(out, frame);
    if (frame is! Request && frame is! Reply) return sayBytes(out.copy());
    _unsent.add(out.copy());
    _pump();
  }

  /// Sends what there is credit for; the rest waits, as in a body.
  void _pump() {
    while (_unsent.isNotEmpty && given > spent) {
      final bytes = _unsent.removeFirst();
      spent += bytes.length;
      sayBytes(bytes);
    }
  }

  /// Sends bytes as they are.
  void sayBytes(List<int> bytes) => _socket.add(bytes);

  /// Sends a request with JSON.
  void request(
    int id,
    Object? value, {
    String target = 'cell demo.echo',
    int timeoutMs = 5000,
    int attempt = 0,
    Source source = const Source(body: 'host-7f3a9c'),
  }) =>
      send(
        id,
        Envelope(
          kind: Kind.request,
          id: requestId,
          target: Target.parse(target),
          source: source,
          timeoutMs: timeoutMs,
          attempt: attempt,
          payload: Payload.encode(value),
        ),
      );

  /// The id of every request.
  static final requestId = Uuid.parse('01937f00-1234-7abc-8def-0123456789ab');

  /// Sends a request.
  void send(int id, Envelope envelope) => say(Request(id: id, envelope: EnvelopeWriter.bytes(envelope)));

  /// Waits for the reply to a request, and gives back what it says.
  Future<Envelope> reply(int id) async {
    final reply = await next<Reply>();
    if (reply.id != id) throw StateError('a reply to $id was expected, there came one to ${reply.id}');
    return read(reply);
  }

  /// Waits for a reply of JSON.
  Future<Object?> answer(int id) async {
    final envelope = await reply(id);
    if (envelope.error case final error?) throw error;
    return Payload.decode(envelope.payload);
  }

  /// Waits for a reply that is an error.
  Future<CellException> error(int id) async {
    final envelope = await reply(id);
    return envelope.error ?? (throw StateError('an error was expected, there came ${utf8.decode(envelope.payload)}'));
  }

  /// What a reply says.
  static Envelope read(Reply reply) =>
      EnvelopeReader.isFrame(reply.envelope) ? EnvelopeReader.read(reply.envelope) : Envelope.reply(reply.envelope);

  /// A frame, for people.
  static String describe(Frame frame) => switch (frame) {
        Goodbye(:final reason) => 'a goodbye: $reason',
        Log(:final message) => 'a log line: $message',
        Print(:final line) => 'a print: $line',
        Reply(:final id) => 'a reply to $id: ${headerText(read(frame))}',
        _ => '${frame.runtimeType}',
      };

  /// An envelope, for people.
  static String headerText(Envelope envelope) => '${envelope.error ?? utf8.decode(envelope.payload)}';

  /// Goes away without a word, as a body does that ends.
  void vanish() => _socket.destroy();

  /// Ends it all.
  Future<void> close() async {
    await _server.close();
    try {
      _socket.destroy();
    } on Error {
      // Nobody had come.
    }
    await _folder.delete(recursive: true);
  }
}
