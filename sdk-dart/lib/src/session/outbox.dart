import 'dart:async';
import 'dart:collection';
import 'dart:math';
import 'dart:typed_data';

import '../wire/byte_writer.dart';

/// What is on its way to the body: never more than the body gave credit for, and bounded in memory.
///
/// Frames are written one behind the other into one buffer and go out in one write for each turn of the event loop.
/// What has no credit, or comes while the socket takes no more, waits in order. The bounds:
///
/// - the buffer: twice [bufferBytesMax] and one frame;
/// - what waits: at most [waitingBytesMax] of calls, events and prints, which are refused beyond that, and the replies to
///   requests that were taken; once [repliesBytesMax] wait no more are taken ([isJammed]).
final class Outbox {
  /// [write] hands bytes to the socket without waiting, and says how many it took; [awaitWritable] asks to be called
  /// back ([flush]) when it takes more.
  Outbox({
    required int Function(Uint8List bytes, int start, int count) write,
    required void Function() awaitWritable,
    required void Function() onRelief,
  })  : _write = write,
        _awaitWritable = awaitWritable,
        _onRelief = onRelief;

  /// The most bytes that are handed to the socket and not yet taken by it, but for the last frame.
  static const bufferBytesMax = 256 * 1024;

  /// From so many waiting bytes on log lines are dropped.
  static const pressureBytes = 1024 * 1024;

  /// The most bytes of calls, events and prints that wait.
  static const waitingBytesMax = 8 * 1024 * 1024;

  /// From so many waiting bytes on requests are refused. Credit is given back all the same: a side that kept it back
  /// until the other gives some would wait for ever for one that does likewise.
  static const repliesBytesMax = 64 * 1024 * 1024;

  final int Function(Uint8List bytes, int start, int count) _write;
  final void Function() _awaitWritable;
  final void Function() _onRelief;

  final _buffer = ByteWriter(64 * 1024);
  int _sent = 0;
  final _waiting = Queue<WaitingFrame>();
  int _waitingBytes = 0;
  bool _isScheduled = false;
  bool _isBlocked = false;
  bool _isClosed = false;

  /// How many more bytes may be sent; none before the welcome.
  int credit = 0;

  /// Whether the body sets no limit.
  bool unlimited = false;

  /// Whether so much waits that log lines are dropped.
  bool get isPressed => _waitingBytes >= pressureBytes;

  /// Whether so much waits that no more requests are taken.
  bool get isJammed => _waitingBytes >= repliesBytesMax;

  /// Whether all has been handed to the socket.
  bool get isEmpty => _waiting.isEmpty && _buffer.length == _sent;

  /// Bytes that wait for credit or for room in the socket.
  int get waitingBytes => _waitingBytes;

  /// Adds a frame that costs nothing. [write] writes all of it.
  void addFree(void Function(ByteWriter out) write) {
    if (_isClosed) return;
    write(_buffer);
    schedule();
  }

  /// Adds a frame that costs its bytes. True if it is on its way, false if it waits.
  bool add(void Function(ByteWriter out) write) {
    final start = _buffer.length;
    write(_buffer);
    return commit(start) == null;
  }

  /// Where a frame is written that [commit] then takes.
  ByteWriter get writer => _buffer;

  /// Takes what was written since [start] as one frame that costs its bytes. Null if it is on its way, else the frame,
  /// which waits.
  WaitingFrame? commit(int start) {
    final count = _buffer.length - start;
    if (_isClosed) {
      _buffer.truncate(start);
      return null;
    }
    if (_waiting.isEmpty && _mayGo(start)) {
      credit -= count;
      schedule();
      return null;
    }
    final frame = WaitingFrame._(_buffer.copy(start));
    _waiting.add(frame);
    _waitingBytes += count;
    _buffer.truncate(start);
    return frame;
  }

  /// Takes back a frame that waits. False where it is on its way already.
  bool withdraw(WaitingFrame frame) {
    if (frame._isGone) return false;
    _waitingBytes -= frame._bytes.length;
    frame._leave();
    // Its place is given up at once where it is the first, as it mostly is: those that waited longest are given up first.
    while (_waiting.isNotEmpty && _waiting.first._isGone) {
      _waiting.removeFirst();
    }
    return true;
  }

  /// Completes when all that waits now is on its way.
  Future<void> get relief {
    if (_waiting.isEmpty) return Future.value();
    final last = _waiting.last;
    return last._isGone ? Future.value() : (last._sent ??= Completer()).future;
  }

  bool _mayGo(int buffered) => (unlimited || credit > 0) && buffered - _sent < bufferBytesMax;

  /// The body takes so many bytes more.
  void grant(int bytes) {
    // A number of 64 bits without a sign may be negative here: it is as good as no limit.
    credit = bytes < 0 ? 1 << 62 : min(credit + bytes, 1 << 62);
    if (_waiting.isNotEmpty) schedule();
  }

  /// Sees to it that what is buffered goes out at the end of this turn.
  void schedule() {
    if (_isScheduled || _isBlocked) return;
    _isScheduled = true;
    scheduleMicrotask(_flushScheduled);
  }

  /// Whether so much is buffered that it should go out before the turn ends.
  bool get isLarge => _buffer.length - _sent >= bufferBytesMax ~/ 2;

  void _flushScheduled() {
    _isScheduled = false;
    if (!_isBlocked) flush();
  }

  /// Hands to the socket what it takes. Called at the end of a turn, and when the socket takes more.
  void flush() {
    _isBlocked = false;
    final wasPressed = isPressed;
    do {
      _move();
      final count = _buffer.length - _sent;
      if (count == 0) break;
      final taken = _write(_buffer.buffer, _sent, count);
      _sent += taken;
      if (taken < count) {
        _isBlocked = true;
        if (_sent >= bufferBytesMax) _dropSent();
        _awaitWritable();
        break;
      }
      _buffer.clear();
      _sent = 0;
    } while (_waiting.isNotEmpty && _mayGo(0));
    if (wasPressed && !isPressed) _onRelief();
  }

  /// Moves what waits into the buffer, as far as credit and room go.
  void _move() {
    if (_waiting.isEmpty) return;
    _dropSent();
    while (_waiting.isNotEmpty && _mayGo(_buffer.length)) {
      final next = _waiting.removeFirst();
      if (next._isGone) continue;
      _buffer.raw(next._bytes);
      credit -= next._bytes.length;
      _waitingBytes -= next._bytes.length;
      next._leave();
    }
  }

  /// Nothing is taken any more, and what waits is forgotten: what was on its way still goes.
  void close() {
    _isClosed = true;
    for (final waiting in _waiting) {
      waiting._leave();
    }
    _waiting.clear();
    _waitingBytes = 0;
  }

  void _dropSent() {
    if (_sent == 0) return;
    _buffer.discard(_sent);
    _sent = 0;
  }
}

/// A frame that waits for credit, or for room in the socket.
final class WaitingFrame {
  WaitingFrame._(this._bytes);

  static final _nothing = Uint8List(0);

  Uint8List _bytes;
  Completer<void>? _sent;
  bool _isGone = false;

  /// It waits no more: it is on its way, or was taken back.
  void _leave() {
    if (_isGone) return;
    _isGone = true;
    _bytes = _nothing;
    _sent?.complete();
  }
}
