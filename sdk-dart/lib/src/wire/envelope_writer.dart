import 'dart:convert';
import 'dart:typed_data';

import '../cell_exception.dart';
import '../envelope.dart';
import '../kind.dart';
import 'byte_writer.dart';
import 'envelope_reader.dart';

/// Writes frames of `specs/proto/cbs/v1/envelope.proto`: envelope to bytes.
abstract final class EnvelopeWriter {
  static final _header = ByteWriter();

  /// Writes a whole frame.
  static void write(ByteWriter out, Envelope envelope) {
    final header = writeHeader(envelope);
    out
      ..raw(header.buffer, 0, header.length)
      ..raw(envelope.payload);
  }

  /// A whole frame, in bytes of its own.
  static Uint8List bytes(Envelope envelope) {
    final out = ByteWriter(64 + envelope.payload.length);
    write(out, envelope);
    return out.copy();
  }

  /// The frame up to its payload. The writer that is given back is used again by the next call.
  static ByteWriter writeHeader(Envelope envelope) {
    final out = _header..clear(kept: 4096);
    _fields(out, envelope);
    final length = out.length;
    if (length < 128) {
      // The marks go in front: three bytes more.
      out
        ..byte(0)
        ..byte(0)
        ..byte(0);
      out.buffer.setRange(3, length + 3, out.buffer);
      out.buffer
        ..[0] = EnvelopeReader.mark
        ..[1] = EnvelopeReader.version
        ..[2] = length;
      return out;
    }
    final fields = out.copy();
    return out
      ..truncate(0)
      ..byte(EnvelopeReader.mark)
      ..byte(EnvelopeReader.version)
      ..varint(length)
      ..raw(fields);
  }

  static void _fields(ByteWriter out, Envelope envelope) {
    if (envelope.kind == Kind.request || envelope.kind == Kind.event) {
      if (envelope.id case final id?) out.bytes(1, id.bytes);
      if (envelope.correlationId case final id?) out.bytes(2, id.bytes);
      if (envelope.causationId case final id?) out.bytes(3, id.bytes);
    }
    out.text(4, envelope.idempotencyKey);
    if (envelope.target case final target?) out.text(5, '$target');
    final source = envelope.source;
    if (!source.isEmpty) {
      out.nested(6, () {
        out
          ..text(1, source.body)
          ..text(2, source.cell)
          ..text(3, source.revision);
      });
    }
    out
      ..text(7, envelope.schema)
      ..text(8, envelope.contentType)
      ..fixed64(9, envelope.timeMs)
      ..number(10, envelope.timeoutMs);
    if (envelope.trace case final trace?) out.bytes(11, trace.bytes);
    out
      ..text(12, envelope.tracestate)
      ..number(13, envelope.kind.index);
    if (envelope.error case final error?) out.nested(14, () => _error(out, error));
    for (final (key, value) in envelope.attributes) {
      out.nested(15, () {
        out
          ..text(1, key)
          ..text(2, value);
      });
    }
    out.number(16, envelope.attempt);
  }

  static void _error(ByteWriter out, CellException error) {
    out
      ..text(1, error.code)
      ..text(2, error.message)
      ..number(3, error.retryable ? 1 : 0);
    if (error.details != null || error.hasDetails) out.text(4, json.encode(error.details));
    out.number(5, error.notRun ? 1 : 0);
  }
}
