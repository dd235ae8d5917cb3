import 'dart:convert';
import 'dart:typed_data';

import 'cell_exception.dart';
import 'json_writer.dart';

/// JSON as payloads carry it: bytes to values and back, without a text in between.
abstract final class Payload {
  static final _decoder = utf8.decoder.fuse(json.decoder);
  static JsonWriter? _writer;

  /// Reads a payload; an empty one is `null`. Throws `bad-request` for what is no JSON.
  static Object? decode(Uint8List payload) {
    if (payload.isEmpty) return null;
    try {
      return _decoder.convert(payload);
    } on FormatException catch (error) {
      final place = error.offset == null ? '' : ' at byte ${error.offset}';
      throw CellException.badRequest('the payload: ${error.message}$place', details: const {'path': '.'});
    }
  }

  /// Writes a payload; objects are written by their `toJson`. Throws `internal` for what JSON cannot hold.
  static Uint8List encode(Object? value) {
    // One writer for all, but for a toJson that itself writes JSON.
    final writer = _writer ?? JsonWriter();
    _writer = null;
    try {
      return writer.convert(value);
    } on JsonUnsupportedObjectError catch (error) {
      throw CellException('internal', 'the output is no JSON: ${error.cause}');
    } finally {
      _writer = writer;
    }
  }
}
