import 'dart:convert';
import 'dart:typed_data';

/// Finds what `jsonDecode` takes, and makes something else of: numbers that it cannot hold, and halves of pairs.
final class JsonCheck {
  JsonCheck._(this._payload);

  final Uint8List _payload;

  /// The parts of the place, the innermost first.
  final _places = <Object>[];

  /// As numbers, the integers that have more than 64 bits.
  late final Set<double> _wide = _wideIntegers(_payload);

  /// Maps and lists in one another; what is written has no more of them either.
  static const depthMax = 512;

  /// From here on a double may have been an integer that `int` cannot hold.
  static const _wideFrom = 9223372036854775808.0;

  /// What is amiss in the [value] of a payload, with the place of it; null where nothing is.
  static ({String path, String reason})? fault(Object? value, Uint8List payload) {
    if (!_isSuspect(payload)) return null;
    final check = JsonCheck._(payload);
    final reason = check._reason(value, 0);
    if (reason == null) return null;
    // What is no JSON has no fields.
    return (path: reason == _half || reason == _deep ? '.' : check._path(), reason: reason);
  }

  String? _reason(Object? value, int depth) {
    switch (value) {
      case double():
        if (value.abs() < _wideFrom) return null;
        if (_wide.contains(value)) return 'an integer beyond 64 bits: send it as a text';
        return value.isFinite ? null : 'number out of range';
      case String():
        return _isHalved(value) ? _half : null;
      case Map<String, dynamic>():
        if (depth >= depthMax) return _deep;
        for (final MapEntry(:key, value: entry) in value.entries) {
          if (_isHalved(key)) return _half;
          final reason = _reason(entry, depth + 1);
          if (reason == null) continue;
          _places.add(key);
          return reason;
        }
      case List<dynamic>():
        if (depth >= depthMax) return _deep;
        for (var index = 0; index < value.length; index++) {
          final reason = _reason(value[index], depth + 1);
          if (reason == null) continue;
          _places.add(index);
          return reason;
        }
    }
    return null;
  }

  static const _half = 'JSON is malformed: half of a surrogate pair';
  static const _deep = 'JSON is malformed: it is nested too deeply';

  String _path() {
    final path = StringBuffer();
    for (final place in _places.reversed) {
      path.write(place is int ? '[$place]' : '${path.isEmpty ? '' : '.'}$place');
    }
    return path.isEmpty ? '.' : '$path';
  }

  /// Whether something may be amiss: it looks at the bytes of a JSON text alone, for most have nothing of the kind.
  static bool _isSuspect(Uint8List json) {
    var depth = 0;
    var digits = 0;
    for (var at = 0; at < json.length; at++) {
      final byte = json[at];
      if (byte >= 0x30 && byte <= 0x39) {
        if (++digits >= _digitsMin) return true;
        continue;
      }
      // 1e308 is the largest there is.
      if (digits > 0 && byte | 0x20 == 0x65 && _digitsAfter(json, at) >= 3) return true;
      digits = 0;
      if (byte == _quote) {
        for (at++; json[at] != _quote; at++) {
          if (json[at] != _backslash) continue;
          // An escape such as `\ud83d`: no other bytes give half of a pair.
          if (json[at + 1] == 0x75 && json[at + 2] | 0x20 == 0x64) return true;
          at++;
        }
      } else if (byte == 0x5b || byte == 0x7b) {
        if (++depth > depthMax) return true;
      } else if (byte == 0x5d || byte == 0x7d) {
        depth--;
      }
    }
    return false;
  }

  /// No integer beyond 64 bits has fewer.
  static const _digitsMin = 19;

  static int _digitsAfter(Uint8List json, int at) {
    var digits = 0;
    for (var next = at + 1; next < json.length && _isNumber(json[next]); next++) {
      if (json[next] >= 0x30 && json[next] <= 0x39) digits++;
    }
    return digits;
  }

  static bool _isHalved(String text) {
    for (var index = 0; index < text.length; index++) {
      final unit = text.codeUnitAt(index);
      if (unit & 0xf800 != 0xd800) continue;
      final next = index + 1 < text.length ? text.codeUnitAt(index + 1) : 0;
      if (unit >= 0xdc00 || next & 0xfc00 != 0xdc00) return true;
      index++;
    }
    return false;
  }

  static const _backslash = 0x5c;
  static const _quote = 0x22;

  /// All integers of a JSON text that `int` cannot hold.
  static Set<double> _wideIntegers(Uint8List json) {
    final found = <double>{};
    for (var at = 0; at < json.length; at++) {
      if (json[at] == _quote) {
        for (at++; json[at] != _quote; at++) {
          if (json[at] == _backslash) at++;
        }
      } else if (_isNumber(json[at])) {
        final start = at;
        while (at < json.length && _isNumber(json[at])) {
          at++;
        }
        final text = ascii.decode(Uint8List.sublistView(json, start, at));
        if (!text.contains(_fraction) && int.tryParse(text) == null) found.add(double.parse(text));
        at--;
      }
    }
    return found;
  }

  static final _fraction = RegExp('[.eE]');

  static bool _isNumber(int byte) =>
      byte >= 0x30 && byte <= 0x39 || byte == 0x2d || byte == 0x2b || byte == 0x2e || byte | 0x20 == 0x65;
}
