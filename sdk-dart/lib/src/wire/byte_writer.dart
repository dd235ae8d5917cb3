import 'dart:convert';
import 'dart:typed_data';

/// Writes the protobuf wire format into a buffer that grows and is used again.
///
/// What is absent takes no bytes: fields of empty texts, empty bytes and 0 are left out.
final class ByteWriter {
  /// A writer whose buffer has [capacity] bytes to begin with.
  ByteWriter([int capacity = 256]) : _buffer = Uint8List(capacity);

  Uint8List _buffer;
  int _length = 0;

  /// How many bytes have been written.
  int get length => _length;

  /// The buffer itself: the first [length] bytes count, until the next write.
  Uint8List get buffer => _buffer;

  /// A copy of what was written from [start] on.
  Uint8List copy([int start = 0]) => _buffer.sublist(start, _length);

  /// Forgets what was written from [length] on.
  void truncate(int length) {
    assert(length <= _length, 'what was not written cannot be forgotten');
    _length = length;
  }

  /// Forgets all, and the buffer too where it has grown beyond [kept] bytes.
  void clear({int kept = 1 << 20}) {
    _length = 0;
    if (_buffer.length > kept) _buffer = Uint8List(256);
  }

  /// Forgets the first [count] bytes: the rest moves to the front.
  void discard(int count) {
    _buffer.setRange(0, _length - count, _buffer, count);
    _length -= count;
  }

  void _reserve(int count) {
    final needed = _length + count;
    if (needed <= _buffer.length) return;
    var capacity = _buffer.length * 2;
    while (capacity < needed) {
      capacity *= 2;
    }
    _buffer = Uint8List(capacity)..setRange(0, _length, _buffer);
  }

  /// One byte.
  void byte(int value) {
    _reserve(1);
    _buffer[_length++] = value;
  }

  /// A number of 64 bits without a sign, in 1 to 10 bytes.
  void varint(int value) {
    _reserve(10);
    var rest = value;
    while (rest < 0 || rest >= 0x80) {
      _buffer[_length++] = rest & 0x7f | 0x80;
      rest = rest >>> 7;
    }
    _buffer[_length++] = rest;
  }

  /// How many bytes [varint] takes.
  static int varintLength(int value) {
    if (value >= 0 && value < 0x80) return 1;
    final bits = value < 0 ? 64 : value.bitLength;
    return (bits + 6) ~/ 7;
  }

  /// Four bytes, the highest first.
  void uint32(int value) {
    _reserve(4);
    _length += 4;
    setUint32(_length - 4, value);
  }

  /// Overwrites four bytes at [at].
  void setUint32(int at, int value) {
    _buffer[at] = value >>> 24 & 0xff;
    _buffer[at + 1] = value >>> 16 & 0xff;
    _buffer[at + 2] = value >>> 8 & 0xff;
    _buffer[at + 3] = value & 0xff;
  }

  /// Bytes as they are.
  void raw(Uint8List bytes, [int start = 0, int? end]) {
    final count = (end ?? bytes.length) - start;
    _reserve(count);
    _buffer.setRange(_length, _length + count, bytes, start);
    _length += count;
  }

  /// A field of a number; nothing for 0.
  void number(int field, int value) {
    if (value == 0) return;
    varint(field << 3);
    varint(value);
  }

  /// A field of eight bytes, the lowest first; nothing for 0.
  void fixed64(int field, int value) {
    if (value == 0) return;
    varint(field << 3 | 1);
    _reserve(8);
    for (var shift = 0; shift < 64; shift += 8) {
      _buffer[_length++] = value >>> shift & 0xff;
    }
  }

  /// A field of bytes; nothing where there are none.
  void bytes(int field, Uint8List value) {
    if (value.isEmpty) return;
    varint(field << 3 | 2);
    varint(value.length);
    raw(value);
  }

  /// A field of text; nothing for the empty one.
  void text(int field, String value) {
    if (value.isNotEmpty) bytes(field, utf8.encode(value));
  }

  /// A field whose value [write] writes; there even where that is nothing.
  void nested(int field, void Function() write) {
    varint(field << 3 | 2);
    final start = _length;
    byte(0);
    write();
    final count = _length - start - 1;
    final extra = varintLength(count) - 1;
    if (extra > 0) {
      _reserve(extra);
      _buffer.setRange(start + 1 + extra, _length + extra, _buffer, start + 1);
    }
    _length = start;
    varint(count);
    _length += count;
  }
}
