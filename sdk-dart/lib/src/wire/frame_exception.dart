/// Why bytes are not what they should be: an envelope, or a frame of the sidecar protocol.
///
/// Whatever the bytes, the decoders throw this and nothing else.
final class FrameException implements Exception {
  /// An error with its one line.
  const FrameException(this.message);

  /// What is wrong, in one line.
  final String message;

  @override
  String toString() => message;
}
