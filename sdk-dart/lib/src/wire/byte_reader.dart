import 'dart:convert';
import 'dart:typed_data';

import 'frame_exception.dart';

/// Reads the protobuf wire format in place: nothing is copied but short texts.
///
/// The format: <https://protobuf.dev/programming-guides/encoding/>. Numbers of 64 bits without a sign
/// that exceed [int] are negative here, with the same bits.
final class ByteReader {
  /// Reads [bytes] from [position] up to [end].
  ByteReader(this.bytes, [this.position = 0, int? end]) : end = end ?? bytes.length;

  /// What is read; views of it are handed out.
  final Uint8List bytes;

  /// Where the next byte is read.
  int position;

  /// Where reading ends.
  final int end;

  /// Whether all has been read.
  bool get isDone => position >= end;

  /// A number of 1 to 10 bytes. Bits beyond 64 are dropped, as every protobuf library does.
  @pragma('vm:prefer-inline')
  int varint() {
    final position = this.position;
    if (position < end) {
      final byte = bytes[position];
      if (byte < 0x80) {
        this.position = position + 1;
        return byte;
      }
    }
    return _longVarint();
  }

  int _longVarint() {
    var value = 0;
    for (var shift = 0; shift < 64; shift += 7) {
      if (position >= end) throw _cutOff;
      final byte = bytes[position++];
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw const FrameException('a number of more than 10 bytes');
  }

  /// The value of a field of numbers.
  int number(int wire, int field) {
    switch (wire) {
      case 0:
        return varint();
      case 1:
        return _fixed(8);
      case 5:
        return _fixed(4);
      case 2:
        throw FrameException('field $field: bytes where a number belongs');
      default:
        throw _wireType(field);
    }
  }

  int _fixed(int length) {
    final start = _take(length);
    var value = 0;
    for (var index = length - 1; index >= 0; index--) {
      value = value << 8 | bytes[start + index];
    }
    return value;
  }

  /// The value of a field of bytes, as a reader of them alone.
  ByteReader nested(int wire, int field) {
    final length = _length(wire, field);
    final start = _take(length);
    return ByteReader(bytes, start, start + length);
  }

  /// The value of a field of bytes: a view.
  Uint8List view(int wire, int field) {
    final length = _length(wire, field);
    final start = _take(length);
    return Uint8List.sublistView(bytes, start, start + length);
  }

  /// The value of a field of text.
  String text(int wire, int field) {
    final length = _length(wire, field);
    final start = _take(length);
    final stop = start + length;
    var all = 0;
    for (var index = start; index < stop; index++) {
      all |= bytes[index];
    }
    if (all < 0x80) return length == 0 ? '' : String.fromCharCodes(bytes, start, stop);
    try {
      final text = const Utf8Decoder().convert(bytes, start, stop);
      // The decoder takes a byte order mark away; to us it is a letter.
      final marked = length >= 3 && bytes[start] == 0xEF && bytes[start + 1] == 0xBB && bytes[start + 2] == 0xBF;
      return marked ? '\u{FEFF}$text' : text;
    } on FormatException {
      throw FrameException('field $field: not UTF-8');
    }
  }

  /// Passes over the value of a field that nobody knows.
  void skip(int wire, int field) {
    switch (wire) {
      case 0:
        varint();
      case 1:
        _take(8);
      case 2:
        _take(varint());
      case 5:
        _take(4);
      default:
        throw _wireType(field);
    }
  }

  int _length(int wire, int field) {
    if (wire == 2) return varint();
    if (wire == 0 || wire == 1 || wire == 5) throw FrameException('field $field: a number where bytes belong');
    throw _wireType(field);
  }

  int _take(int length) {
    final start = position;
    // A length beyond what an int holds is negative.
    if (length < 0 || length > end - start) throw _cutOff;
    position = start + length;
    return start;
  }

  static const _cutOff = FrameException('the frame ends in the middle of a field');

  static FrameException _wireType(int field) =>
      FrameException('field $field: a wire type that protobuf 3 does not have');
}
