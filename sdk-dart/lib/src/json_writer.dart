import 'dart:math';
import 'dart:typed_data';

import 'json_check.dart';
import 'unwritable_error.dart';

/// Writes JSON as UTF-8, straight into bytes: the same text as `jsonEncode`, in a third to a tenth of the time of
/// `JsonUtf8Encoder`, which long texts cost most.
final class JsonWriter {
  Uint8List _bytes = Uint8List(1024);
  int _length = 0;
  int _depth = 0;

  /// A buffer larger than this is not kept for the next value.
  static const _keptMax = 64 * 1024;

  /// As many letters are written before room is looked for again; each takes at most six bytes.
  static const _portion = 512;

  /// Writes a value: what JSON holds, or what has a `toJson`. Throws an [UnwritableError] for all else.
  Uint8List convert(Object? value) {
    _length = _depth = 0;
    _value(value);
    final written = Uint8List.sublistView(_bytes, 0, _length);
    if (_bytes.length <= _keptMax) return Uint8List.fromList(written);
    _bytes = Uint8List(1024);
    return written;
  }

  void _reserve(int count) {
    if (_bytes.length - _length >= count) return;
    final grown = Uint8List(max(_bytes.length * 2, _length + count))..setRange(0, _length, _bytes);
    _bytes = grown;
  }

  void _value(Object? value) {
    switch (value) {
      case String():
        _text(value);
      case int():
        _ascii('$value');
      case double():
        if (!value.isFinite) throw UnwritableError('$value is no number of JSON');
        _ascii('$value');
      case null:
        _ascii('null');
      case bool():
        _ascii(value ? 'true' : 'false');
      case Map<Object?, Object?>():
        _map(value);
      case List<Object?>():
        _list(value);
      default:
        _object(value);
    }
  }

  /// A value that holds itself would go on for ever.
  void _enter() {
    if (++_depth > JsonCheck.depthMax) {
      throw UnwritableError('more than ${JsonCheck.depthMax} maps and lists in one another');
    }
  }

  void _map(Map<Object?, Object?> map) {
    _enter();
    var mark = 0x7b; // {
    var at = '';
    if (map.isEmpty) _ascii('{');
    try {
      map.forEach((key, value) {
        if (key is! String) throw UnwritableError('the key `$key` of a map is no text');
        _byte(mark);
        mark = 0x2c; // ,
        _text(key);
        _byte(0x3a); // :
        at = key;
        _value(value);
        at = '';
      });
    } on UnwritableError catch (error) {
      if (at.isEmpty) rethrow;
      throw error.within(at);
    }
    _byte(0x7d); // }
    _depth--;
  }

  void _list(List<Object?> list) {
    _enter();
    _byte(0x5b); // [
    var index = 0;
    try {
      for (; index < list.length; index++) {
        if (index > 0) _byte(0x2c);
        _value(list[index]);
      }
    } on UnwritableError catch (error) {
      throw error.within('[$index]');
    }
    _byte(0x5d); // ]
    _depth--;
  }

  void _object(Object value) {
    final Object? json;
    try {
      // Any class may have a toJson; there is no type that says so.
      json = (value as dynamic).toJson() as Object?; // ignore: avoid_dynamic_calls
    } on NoSuchMethodError {
      throw UnwritableError('a ${value.runtimeType} has no toJson');
    }
    _enter();
    _value(json);
    _depth--;
  }

  void _byte(int byte) {
    _reserve(1);
    _bytes[_length++] = byte;
  }

  void _ascii(String text) {
    _reserve(text.length);
    for (var index = 0; index < text.length; index++) {
      _bytes[_length++] = text.codeUnitAt(index);
    }
  }

  void _text(String text) {
    _byte(0x22); // "
    final count = text.length;
    for (var start = 0; start < count;) {
      final end = min(count, start + _portion);
      _reserve((end - start) * 6 + 6);
      start = _letters(text, start, end);
    }
    _byte(0x22);
  }

  /// Writes from [start] up to [end], or one further where a pair of surrogates ends there; gives back where it stopped.
  int _letters(String text, int start, int end) {
    final bytes = _bytes;
    var length = _length;
    var index = start;
    while (index < end) {
      final unit = text.codeUnitAt(index++);
      if (unit < 0x80) {
        if (unit >= 0x20 && unit != 0x22 && unit != 0x5c) {
          bytes[length++] = unit;
        } else {
          length = _escape(unit, length);
        }
      } else if (unit < 0x800) {
        bytes[length++] = 0xc0 | unit >> 6;
        bytes[length++] = 0x80 | unit & 0x3f;
      } else if (unit & 0xf800 != 0xd800) {
        bytes[length++] = 0xe0 | unit >> 12;
        bytes[length++] = 0x80 | unit >> 6 & 0x3f;
        bytes[length++] = 0x80 | unit & 0x3f;
      } else {
        final next = index < text.length ? text.codeUnitAt(index) : 0;
        if (unit >= 0xdc00 || next & 0xfc00 != 0xdc00) {
          throw UnwritableError('a text holds half of a surrogate pair');
        }
        index++;
        final rune = 0x10000 + ((unit & 0x3ff) << 10 | next & 0x3ff);
        bytes[length++] = 0xf0 | rune >> 18;
        bytes[length++] = 0x80 | rune >> 12 & 0x3f;
        bytes[length++] = 0x80 | rune >> 6 & 0x3f;
        bytes[length++] = 0x80 | rune & 0x3f;
      }
    }
    _length = length;
    return index;
  }

  int _escape(int unit, int at) {
    var length = at;
    final short = switch (unit) {
      0x22 || 0x5c => unit,
      0x08 => 0x62, // b
      0x09 => 0x74, // t
      0x0a => 0x6e, // n
      0x0c => 0x66, // f
      0x0d => 0x72, // r
      _ => 0,
    };
    _bytes[length++] = 0x5c;
    if (short != 0) {
      _bytes[length++] = short;
      return length;
    }
    _bytes[length++] = 0x75; // u
    for (var shift = 12; shift >= 0; shift -= 4) {
      _bytes[length++] = '0123456789abcdef'.codeUnitAt(unit >> shift & 0xf);
    }
    return length;
  }
}
