import 'dart:typed_data';

import 'cell_exception.dart';
import 'json_places.dart';
import 'payload.dart';

/// Payloads as objects, by functions such as `fromJson` constructors.
abstract final class TypedPayload {
  /// A cell's input. Throws `bad-request` with the path of the field that does not fit.
  static I input<I>(Uint8List payload, I Function(Map<String, dynamic> json) decode) {
    final json = Payload.decode(payload);
    if (json is! Map<String, dynamic>) {
      throw CellException.badRequest('the payload: ${_kind(json)} where a map belongs', details: const {'path': '.'});
    }
    try {
      return decode(json);
    } on CellException {
      rethrow;
    } catch (error) {
      if (!_isBadInput(error)) rethrow;
      throw _badRequest(json, decode);
    }
  }

  /// The reply of another cell, as [T] or by [decode].
  static T reply<T>(String cell, Uint8List payload, T Function(Map<String, dynamic> json)? decode) {
    try {
      if (decode != null) return input(payload, decode);
      final json = Payload.decode(payload);
      if (json is T) return json;
      throw CellException.badRequest('the payload: ${_kind(json)} where $T belongs');
    } on CellException catch (error) {
      // The other cell is at fault, not whoever called this one.
      throw CellException('internal', 'the reply of $cell does not fit: ${error.message}');
    }
  }

  /// Whether it is said of the input and not of the program. `fromJson` constructors cast and parse.
  static bool _isBadInput(Object error) =>
      error is TypeError || error is FormatException || error is ArgumentError || error is NoSuchMethodError;

  /// Reads once more, and looks at each place that is read: the last one is where it stopped.
  static CellException _badRequest(Map<String, dynamic> json, Object? Function(Map<String, dynamic> json) decode) {
    final places = JsonPlaces();
    Object error;
    try {
      decode(places.map(json, ''));
      return const CellException.badRequest('the payload does not fit', details: {'path': '.'});
    } catch (thrown) {
      error = thrown;
    }
    final path = places.last.isEmpty ? '.' : places.last;
    final place = places.last.isEmpty ? 'the payload' : '`$path`';
    return CellException.badRequest('$place: ${_reason(error, places)}', details: {'path': path});
  }

  static final _expected = RegExp(r"is not a subtype of type '(.+?)'");

  static String _reason(Object error, JsonPlaces places) {
    if (error is FormatException) return error.message;
    if (error is ArgumentError) return '${error.message ?? 'does not fit'}';
    if (places.isMissing) return 'missing';
    final expected = _expected.firstMatch('$error')?.group(1);
    final value = places.value;
    if (expected == 'double' && value is int) return 'an int where double belongs: read it as num, with toDouble()';
    if (expected == 'int' && value is double) return 'a double where int belongs';
    final found = _kind(value);
    return expected == null ? '$found does not fit' : '$found where $expected belongs';
  }

  static String _kind(Object? json) => switch (json) {
        null => 'null',
        bool() => 'true or false',
        num() => 'a number',
        String() => 'a text',
        List<Object?>() => 'a list',
        Map<Object?, Object?>() => 'a map',
        _ => 'something else',
      };
}
