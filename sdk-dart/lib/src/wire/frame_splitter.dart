import 'dart:math';
import 'dart:typed_data';

import 'frame_exception.dart';

/// Cuts a stream of bytes into frames: each is its length in four bytes, and its content.
///
/// A frame that came in one piece is not copied. One that came in several is put together in a buffer of its own,
/// which grows with what has arrived: a length alone costs no memory.
final class FrameSplitter {
  /// Frames of more than [frameBytesMax] bytes are refused; [onFrame] gets each content with its start and end.
  FrameSplitter({required this.frameBytesMax, required this.onFrame});

  /// The most bytes that a frame may have; may be changed between two frames.
  int frameBytesMax;

  /// Gets each frame's content.
  final void Function(Uint8List bytes, int start, int end) onFrame;

  final _length = Uint8List(4);
  int _lengthBytes = 0;
  Uint8List? _content;
  int _contentBytes = 0;
  int _wanted = 0;

  /// The size to which the buffer of a frame grows at once.
  static const _growth = 64 * 1024;

  /// How many bytes of a frame have come that is not whole yet.
  int get pending => _lengthBytes + _contentBytes;

  /// Takes the next bytes. Throws a [FrameException] for a frame that is empty or too large.
  void add(Uint8List chunk) {
    var at = 0;
    while (at < chunk.length) {
      if (_lengthBytes > 0) {
        at = _finish(chunk, at);
        continue;
      }
      if (chunk.length - at >= 4) {
        final length = chunk[at] << 24 | chunk[at + 1] << 16 | chunk[at + 2] << 8 | chunk[at + 3];
        _check(length);
        final start = at + 4;
        if (chunk.length - start >= length) {
          at = start + length;
          onFrame(chunk, start, at);
          continue;
        }
      }
      at = _finish(chunk, at);
    }
  }

  /// Takes what [chunk] has of a frame in several pieces; gives back where it went on to.
  int _finish(Uint8List chunk, int start) {
    var at = start;
    while (_lengthBytes < 4) {
      if (at == chunk.length) return at;
      _length[_lengthBytes++] = chunk[at++];
      if (_lengthBytes == 4) {
        _wanted = _length[0] << 24 | _length[1] << 16 | _length[2] << 8 | _length[3];
        _check(_wanted);
      }
    }
    final count = min(_wanted - _contentBytes, chunk.length - at);
    _room(_contentBytes + count).setRange(_contentBytes, _contentBytes + count, chunk, at);
    _contentBytes += count;
    if (_contentBytes == _wanted) {
      final content = _content!;
      _content = null;
      _lengthBytes = _contentBytes = 0;
      onFrame(content, 0, _wanted);
    }
    return at + count;
  }

  Uint8List _room(int needed) {
    final content = _content;
    if (content != null && content.length >= needed) return content;
    final size = min(_wanted, max(needed, max(_growth, (content?.length ?? 0) * 2)));
    final grown = Uint8List(size);
    if (content != null) grown.setRange(0, _contentBytes, content);
    return _content = grown;
  }

  void _check(int length) {
    if (length == 0) throw const FrameException('a frame of no bytes');
    if (length > frameBytesMax) throw FrameException('a frame of $length bytes, the limit is $frameBytesMax');
  }
}
