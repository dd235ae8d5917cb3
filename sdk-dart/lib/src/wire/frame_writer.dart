import 'dart:typed_data';

import '../envelope.dart';
import '../kind.dart';
import 'byte_writer.dart';
import 'envelope_writer.dart';
import 'frame.dart';

/// Writes frames of the sidecar protocol, each behind its length in four bytes.
abstract final class FrameWriter {
  /// What a reply of JSON begins with: the marks, and a header that says `reply` and no more.
  static final _plainReply = Uint8List.fromList([0xCB, 0x01, 0x02, 0x68, 0x01]);

  /// Writes a reply. Its payload is copied once, into [out].
  static void reply(ByteWriter out, int id, Envelope reply) {
    final plain = reply.kind == Kind.reply &&
        reply.contentType.isEmpty &&
        reply.schema.isEmpty &&
        reply.attributes.isEmpty &&
        reply.source.isEmpty &&
        reply.tracestate.isEmpty &&
        reply.trace == null;
    if (plain) {
      _enveloped(out, 5, id, _plainReply, _plainReply.length, reply.payload, 0);
    } else {
      final header = EnvelopeWriter.writeHeader(reply);
      _enveloped(out, 5, id, header.buffer, header.length, reply.payload, 0);
    }
  }

  /// Writes a request. Its payload is copied once, into [out].
  static void request(ByteWriter out, int id, Envelope request, {int within = 0}) {
    final header = EnvelopeWriter.writeHeader(request);
    _enveloped(out, 4, id, header.buffer, header.length, request.payload, within);
  }

  /// All lengths are known before anything is written, so nothing moves.
  static void _enveloped(
    ByteWriter out,
    int kind,
    int id,
    Uint8List header,
    int headerLength,
    Uint8List payload,
    int within,
  ) {
    final envelope = headerLength + payload.length;
    final content = _numberLength(id) +
        (envelope == 0 ? 0 : 1 + ByteWriter.varintLength(envelope) + envelope) +
        _numberLength(within);
    out
      ..uint32(1 + ByteWriter.varintLength(content) + content)
      ..byte(kind << 3 | 2)
      ..varint(content)
      ..number(1, id);
    if (envelope > 0) {
      out
        ..byte(2 << 3 | 2)
        ..varint(envelope)
        ..raw(header, 0, headerLength)
        ..raw(payload);
    }
    out.number(3, within);
  }

  static int _numberLength(int value) => value == 0 ? 0 : 1 + ByteWriter.varintLength(value);

  /// Writes any frame.
  static void write(ByteWriter out, Frame frame) {
    switch (frame) {
      case Request(:final id, :final envelope, :final within):
        _enveloped(out, 4, id, Envelope.nothing, 0, envelope, within);
      case Reply(:final id, :final envelope):
        _enveloped(out, 5, id, Envelope.nothing, 0, envelope, 0);
      case _:
        final start = out.length;
        out
          ..uint32(0)
          ..nested(_kind(frame), () => _content(out, frame))
          ..setUint32(start, out.length - start - 4);
    }
  }

  static int _kind(Frame frame) => switch (frame) {
        Hello() => 1,
        Welcome() => 2,
        Ready() => 3,
        Request() => 4,
        Reply() => 5,
        Cancel() => 6,
        Print() => 7,
        Ask() => 8,
        Log() => 9,
        Credit() => 10,
        Ping() => 11,
        Pong() => 12,
        Drain() => 13,
        Goodbye() => 14,
        Note() => 15,
      };

  static void _content(ByteWriter out, Frame frame) {
    switch (frame) {
      case Hello():
        out
          ..number(1, frame.protocol)
          ..text(2, frame.sdk)
          ..text(3, frame.language);
        frame.cells.forEach((cell) => _element(out, 4, cell));
        out
          ..number(5, frame.frameBytesMax)
          ..number(6, frame.credit)
          ..number(7, frame.inFlightMax);
      case Welcome():
        _welcome(out, frame);
      case Ready() || Request() || Reply():
        break;
      case Cancel(id: final number) || Credit(bytes: final number) || Ping(nonce: final number):
        out.number(1, number);
      case Drain(timeoutMs: final number):
        out.number(1, number);
      case Print(:final line, :final within):
        out
          ..text(1, line)
          ..number(2, within);
      case Ask(:final id, :final question, :final within):
        out
          ..number(1, id)
          ..text(2, question)
          ..number(3, within);
      case Log():
        _log(out, frame);
      case Pong():
        out
          ..number(1, frame.nonce)
          ..number(2, frame.inFlight)
          ..number(3, frame.queued)
          ..number(4, frame.lagUs)
          ..number(5, frame.lockWaitUs);
      case Goodbye(:final reason):
        out.text(1, reason);
      case Note():
        _note(out, frame);
    }
  }

  static void _welcome(ByteWriter out, Welcome frame) {
    out
      ..number(1, frame.protocol)
      ..text(2, frame.version)
      ..text(3, frame.body)
      ..text(4, frame.namespace);
    for (final cell in frame.cells) {
      out.nested(5, () {
        out
          ..text(1, cell.name)
          ..text(2, cell.revision)
          ..bytes(3, cell.config ?? Envelope.nothing)
          ..number(4, cell.concurrency)
          ..number(5, cell.timeoutMs);
      });
    }
    out
      ..number(6, frame.frameBytesMax)
      ..number(7, frame.credit)
      ..number(8, frame.pingMs)
      ..number(9, frame.instance)
      ..number(10, frame.inFlightMax)
      ..number(11, frame.notesMax);
  }

  static void _log(ByteWriter out, Log frame) {
    out
      ..number(1, frame.level.index)
      ..text(2, frame.message)
      ..number(3, frame.within)
      ..text(4, frame.logger);
    frame.fields.forEach((field) => _pair(out, 5, field));
  }

  static void _note(ByteWriter out, Note frame) {
    out.number(1, frame.within);
    if (frame.attribute case final attribute?) _pair(out, 2, attribute);
    if (frame.event case NoteEvent(:final name, :final timeNs, :final attributes)) {
      out.nested(3, () {
        out
          ..text(1, name)
          ..number(2, timeNs);
        attributes.forEach((attribute) => _pair(out, 3, attribute));
      });
    }
    out.number(4, frame.dropped);
  }

  static void _pair(ByteWriter out, int field, (String, String) pair) => out.nested(field, () {
        out
          ..text(1, pair.$1)
          ..text(2, pair.$2);
      });

  /// An element of a list: there even where it is empty.
  static void _element(ByteWriter out, int field, String text) =>
      text.isEmpty ? out.nested(field, () {}) : out.text(field, text);
}
