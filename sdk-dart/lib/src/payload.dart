import 'dart:convert';
import 'dart:typed_data';

import 'cell_exception.dart';
import 'json_check.dart';
import 'json_writer.dart';
import 'unwritable_error.dart';

/// JSON as payloads carry it: bytes to values and back, without a text in between.
abstract final class Payload {
  static final _decoder = utf8.decoder.fuse(json.decoder);
  static JsonWriter? _writer;

  /// Reads a payload; an empty one is `null`. Throws `bad-request` for what is no JSON, and for an integer beyond 64
  /// bits.
  static Object? decode(Uint8List payload) {
    if (payload.isEmpty) return null;
    final Object? value;
    try {
      value = _decoder.convert(payload);
    } on FormatException catch (error) {
      final place = error.offset == null ? '' : ' at byte ${error.offset}';
      throw _badRequest('.', '${error.message}$place');
    }
    // Dart takes it away without a word.
    if (payload[0] == 0xef) throw _badRequest('.', 'JSON is malformed: it begins with a byte order mark');
    final fault = JsonCheck.fault(value, payload);
    if (fault != null) throw _badRequest(fault.path, fault.reason);
    return value;
  }

  static CellException _badRequest(String path, String reason) => CellException.badRequest(
        '${path == '.' ? 'the payload' : '`$path`'}: $reason',
        details: {'path': path},
      );

  /// Writes a payload; objects are written by their `toJson`. Throws an [UnwritableError] for what JSON cannot hold.
  static Uint8List encode(Object? value) {
    // One writer for all, but for a toJson that itself writes JSON.
    final writer = _writer ?? JsonWriter();
    _writer = null;
    try {
      return writer.convert(value);
    } finally {
      _writer = writer;
    }
  }
}
