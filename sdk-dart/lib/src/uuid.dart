import 'dart:math';
import 'dart:typed_data';

/// An id of 16 bytes. Bodies make ids of version 7: the first six bytes are a time.
final class Uuid {
  /// An id of these 16 bytes, which must not change.
  Uuid(this.bytes) : assert(bytes.length == 16, 'an id has 16 bytes');

  /// Reads the usual form, `01937f00-1234-7abc-8def-0123456789ab`. Throws a [FormatException] for anything else.
  factory Uuid.parse(String text) {
    if (!_form.hasMatch(text)) throw FormatException('not a UUID', text);
    final digits = text.replaceAll('-', '');
    return Uuid(
      Uint8List.fromList([
        for (var at = 0; at < 32; at += 2) int.parse(digits.substring(at, at + 2), radix: 16),
      ]),
    );
  }

  /// A new id of version 7, with the time of now.
  factory Uuid.now() {
    final bytes = Uint8List(16);
    final now = DateTime.now().millisecondsSinceEpoch;
    for (var index = 0; index < 6; index++) {
      bytes[index] = now >> (40 - 8 * index) & 0xff;
    }
    for (var index = 6; index < 16; index++) {
      bytes[index] = _random.nextInt(256);
    }
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    return Uuid(bytes);
  }

  static final _form = RegExp(r'^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$');
  static final _random = Random();

  /// The 16 bytes.
  final Uint8List bytes;

  /// Bytes as hexadecimal digits, two lower-case ones a byte.
  static String hex(Uint8List bytes, [int start = 0, int? end]) {
    final text = StringBuffer();
    for (var index = start; index < (end ?? bytes.length); index++) {
      text.write(bytes[index].toRadixString(16).padLeft(2, '0'));
    }
    return text.toString();
  }

  @override
  bool operator ==(Object other) {
    if (other is! Uuid) return false;
    for (var index = 0; index < 16; index++) {
      if (bytes[index] != other.bytes[index]) return false;
    }
    return true;
  }

  @override
  int get hashCode => Object.hashAll(bytes);

  /// The usual form.
  @override
  String toString() {
    final digits = hex(bytes);
    return '${digits.substring(0, 8)}-${digits.substring(8, 12)}-${digits.substring(12, 16)}-'
        '${digits.substring(16, 20)}-${digits.substring(20)}';
  }
}
