import 'dart:async';
import 'dart:io';
import 'dart:math';
import 'dart:typed_data';

import '../wire/byte_writer.dart';
import '../wire/frame.dart';
import '../wire/frame_exception.dart';
import '../wire/frame_splitter.dart';
import '../wire/frame_writer.dart';
import 'outbox.dart';

/// The socket to the body: bytes in, cut into frames; frames out, as far as credit and the socket go.
///
/// A [RawSocket], because it says how much it took: a `Socket` would keep in memory whatever it is given.
final class Connection {
  /// Takes over a connected socket.
  Connection(
    this._socket, {
    required int frameBytesMax,
    required void Function(Uint8List bytes, int start, int end) onFrame,
    required this.onBroken,
    required this.onClosed,
    required void Function() onRelief,
  }) {
    splitter = FrameSplitter(frameBytesMax: frameBytesMax, onFrame: onFrame);
    outbox = Outbox(
      write: _write,
      awaitWritable: () => _socket.writeEventsEnabled = true,
      onRelief: onRelief,
    );
    _socket.writeEventsEnabled = false;
    _events = _socket.listen(_onEvent, onError: (Object error) => _closed('$error'), onDone: () => _closed(null));
  }

  final RawSocket _socket;
  late final StreamSubscription<RawSocketEvent> _events;

  /// Cuts what comes in.
  late final FrameSplitter splitter;

  /// What goes out.
  late final Outbox outbox;

  /// The body sent what is no frame.
  final void Function(FrameException error) onBroken;

  /// The body has gone; with the error, where it was one.
  final void Function(String? error) onClosed;

  bool _isParting = false;
  final _parted = Completer<void>();
  bool _isOver = false;

  /// Reads no more than this in one turn, so that timers and futures have theirs.
  static const _readBytesMax = 256 * 1024;

  void _onEvent(RawSocketEvent event) {
    if (_isOver) return;
    switch (event) {
      case RawSocketEvent.read when _isParting:
        // What comes after a goodbye is not for this side; it is read, so that the other one is not kept.
        _socket.read(_readBytesMax);
      case RawSocketEvent.read:
        _read();
      case RawSocketEvent.write:
        outbox.flush();
      case RawSocketEvent.readClosed || RawSocketEvent.closed:
        _closed(null);
    }
  }

  void _closed(String? error) {
    if (!_parted.isCompleted) _parted.complete();
    if (!_isParting) onClosed(error);
  }

  void _read() {
    try {
      final chunk = _socket.read(max(1, min(_socket.available(), _readBytesMax)));
      if (chunk != null) splitter.add(chunk);
    } on FrameException catch (error) {
      onBroken(error);
    } on SocketException catch (error) {
      _closed(error.message);
    }
  }

  int _write(Uint8List bytes, int start, int count) {
    if (_isOver) return count;
    try {
      return _socket.write(bytes, start, count);
    } on SocketException catch (error) {
      // What cannot be sent is of no use to anybody: the session ends.
      _closed(error.message);
      return count;
    }
  }

  /// Sends a frame that costs nothing.
  void tell(Frame frame) {
    if (!_isOver) outbox.addFree((ByteWriter out) => FrameWriter.write(out, frame));
  }

  /// How long a goodbye may take to be written, and the other side to close.
  static const _partingTime = Duration(milliseconds: 500);

  /// Says goodbye, if there is something to say, and closes the socket. The other side closes first, for what it has
  /// sent and nobody has read would take the goodbye away from it; but it is not waited for long.
  Future<void> close({Frame? last}) async {
    if (_isParting) return;
    _isParting = true;
    if (last != null) {
      FrameWriter.write(outbox.writer, last);
      outbox.close();
      final watch = Stopwatch()..start();
      outbox.flush();
      while (!outbox.isEmpty && !_parted.isCompleted && watch.elapsed < _partingTime) {
        await Future<void>.delayed(const Duration(milliseconds: 2));
        outbox.flush();
      }
      if (!_parted.isCompleted) {
        _socket.shutdown(SocketDirection.send);
        await _parted.future.timeout(_partingTime, onTimeout: () {});
      }
    }
    _isOver = true;
    unawaited(_events.cancel());
    await _socket.close();
  }
}
