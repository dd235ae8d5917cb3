import 'dart:typed_data';

import 'byte_reader.dart';
import 'frame_exception.dart';

/// The fields of one protobuf message, found in one pass; values are read when they are asked for.
///
/// As in every protobuf library, an absent field has its default, the last of several values of a field that is no
/// list counts, and a field that nobody asks for is passed over.
final class FieldIndex {
  /// Finds the fields of all that [_reader] has left.
  ///
  /// Throws a [FrameException] for bytes that are no message.
  FieldIndex(this._reader) {
    while (!_reader.isDone) {
      final tag = _reader.varint();
      _found
        ..add(tag)
        ..add(_reader.position);
      _reader.skip(tag & 7, tag >>> 3);
    }
  }

  final ByteReader _reader;

  /// The tag of each value, and the position after it.
  final _found = <int>[];

  /// A field of numbers; 0 if it is absent.
  int number(int field) => _last(field, _reader.number) ?? 0;

  /// A field of text; empty if it is absent.
  String text(int field) => _last(field, _reader.text) ?? '';

  /// A field of bytes, as a view; null if it is absent.
  Uint8List? view(int field) => _last(field, _reader.view);

  /// A list of texts.
  List<String> texts(int field) => _all(field, _reader.text);

  /// A field that is a message; null if it is absent.
  T? message<T>(int field, T Function(FieldIndex fields) read) => _last(field, _nested(read));

  /// A list of messages.
  List<T> messages<T>(int field, T Function(FieldIndex fields) read) => _all(field, _nested(read));

  T Function(int wire, int field) _nested<T>(T Function(FieldIndex fields) read) =>
      (wire, field) => read(FieldIndex(_reader.nested(wire, field)));

  T? _last<T>(int field, T Function(int wire, int field) read) {
    // All values are read: one that is wrong is an error, also before another.
    final all = _all(field, read);
    return all.isEmpty ? null : all.last;
  }

  List<T> _all<T>(int field, T Function(int wire, int field) read) {
    final all = <T>[];
    for (var index = 0; index < _found.length; index += 2) {
      final tag = _found[index];
      if (tag >>> 3 != field) continue;
      _reader.position = _found[index + 1];
      all.add(read(tag & 7, field));
    }
    return all;
  }
}
