import 'dart:collection';

import '../body_bus.dart';
import '../cell_exception.dart';
import '../clock.dart';
import '../context.dart';
import '../envelope.dart';
import '../kind.dart';
import '../payload.dart';
import '../text_of.dart';
import '../wire/byte_writer.dart';
import '../wire/frame.dart';
import '../wire/frame_writer.dart';
import 'deadlines.dart';
import 'outbox.dart';
import 'sent_calls.dart';

/// What a cell says through its context, as frames to the body.
final class SessionBus implements BodyBus {
  /// Speaks through [outbox]; [_deadlines] watches what is not answered.
  SessionBus(this._outbox, this._deadlines);

  final Outbox _outbox;
  final Deadlines _deadlines;

  /// What has been asked and not answered.
  final calls = SentCalls();

  /// Calls that wait until the body has answered others, by their numbers.
  final _held = LinkedHashMap<int, _Held>();
  int _heldBytes = 0;

  /// The largest frame that the body reads; 0: not said.
  int frameBytesMax = 0;

  /// How many calls and questions may be unanswered at once; 0: not said.
  int inFlightMax = 0;

  @override
  int notesMax = 0;

  int _logsDropped = 0;

  /// The longest message and field of a log line, in characters.
  static const _logCharactersMax = 16 * 1024;

  static const _overloaded = CellException(
    'overloaded',
    'too much of this process waits to be sent: await what you call, publish and print',
    retryable: true,
    notRun: true,
  );

  @override
  Future<Envelope> send(Context context, Envelope request) {
    final target = request.target;
    if (target == null) throw const CellException.badRequest('the envelope names no target');
    final timeoutMs = context.timeoutMs(request.timeoutMs);
    if (timeoutMs == 0) throw _late('$target');
    // The body fills in ids, source and trace: it knows within which request this one is sent.
    final envelope = Envelope(
      kind: request.kind == Kind.event ? Kind.event : Kind.request,
      idempotencyKey: request.idempotencyKey,
      target: target,
      schema: request.schema,
      contentType: request.contentType,
      timeoutMs: timeoutMs,
      attributes: request.attributes,
      attempt: request.attempt,
      payload: request.payload,
    );
    return _ask(
      '$target',
      timeoutMs,
      envelope.payload.length,
      (out, id) => FrameWriter.request(out, id, envelope, within: context.within),
    );
  }

  @override
  Future<String?> ask(Context context, String question) async {
    final timeoutMs = context.timeoutMs(0);
    if (timeoutMs == 0) throw _late('the question');
    final reply = await _ask('the person at the body', timeoutMs, question.length, (out, id) {
      FrameWriter.write(out, Ask(id: id, question: question, within: context.within));
    });
    return switch (Payload.decode(reply.payload)) {
      null => null,
      final String answer => answer,
      final other => '$other',
    };
  }

  /// Whether so much waits to be sent that nothing but replies is taken.
  bool get _isFull => _outbox.waitingBytes + _heldBytes >= Outbox.waitingBytesMax;

  Future<Envelope> _ask(String target, int timeoutMs, int bytes, void Function(ByteWriter out, int id) write) {
    if (_isFull) throw _overloaded;
    final call = calls.add(target, Clock.nowUs + timeoutMs * 1000, _giveUp);
    _deadlines.watch(call.dueUs);
    // In order: the body wants numbers that grow.
    if (_held.isNotEmpty || inFlightMax > 0 && calls.sent >= inFlightMax) {
      _held[call.id] = _Held(call, bytes, write);
      _heldBytes += bytes;
    } else {
      _sendCall(call, write);
    }
    return call.answer;
  }

  void _sendCall(SentCall call, void Function(ByteWriter out, int id) write) {
    final start = _outbox.writer.length;
    write(_outbox.writer, call.id);
    final error = tooLarge(start);
    error == null ? calls.markSent(call, _outbox.commit(start)) : calls.fail(call, error);
  }

  /// Its time is over. What the body has got is cancelled, and no other: it would not know what is meant.
  void _giveUp(SentCall call) {
    final frame = call.frame;
    if (!call.isSent || frame != null && _outbox.withdraw(frame)) {
      calls.remove(call);
      _heldBytes -= _held.remove(call.id)?.bytes ?? 0;
      _sendHeld();
    } else {
      _outbox.addFree((out) => FrameWriter.write(out, Cancel(call.id)));
    }
  }

  /// A reply came: there is room for a call that waited.
  void answered(Reply frame) {
    calls.complete(frame);
    _sendHeld();
  }

  void _sendHeld() {
    while (_held.isNotEmpty && calls.sent < inFlightMax) {
      final held = _held.remove(_held.keys.first)!;
      _heldBytes -= held.bytes;
      _sendCall(held.call, held.write);
    }
  }

  /// Writes a frame that costs and is answered by nothing; an error where it is larger than the body reads.
  CellException? _put(void Function(ByteWriter out) write) {
    final start = _outbox.writer.length;
    write(_outbox.writer);
    final error = tooLarge(start);
    if (error == null) _outbox.commit(start);
    return error;
  }

  /// Takes back what was written since [start] where it is more than the body reads.
  CellException? tooLarge(int start) {
    final bytes = _outbox.writer.length - start - 4;
    if (frameBytesMax == 0 || bytes <= frameBytesMax) return null;
    _outbox.writer.truncate(start);
    return CellException('too-large', 'the message has $bytes bytes, the limit is $frameBytesMax', notRun: true);
  }

  static CellException _late(String target) =>
      CellException('timeout', 'no time is left to call $target', notRun: true);

  @override
  Future<void> print(Context context, String line) {
    if (_isFull) throw _overloaded;
    final error = _put((out) => FrameWriter.write(out, Print(line, within: context.within)));
    if (error != null) throw error;
    return _outbox.relief;
  }

  /// Never waits and never fails: lines that do not fit are dropped, and their number is reported.
  @override
  void log(Context? context, Level level, String message, {String logger = '', Map<String, Object?>? fields}) {
    if (_outbox.isPressed) {
      _logsDropped++;
      return;
    }
    tellDropped();
    final line = Log(
      level: level,
      message: _cut(message),
      within: context?.within ?? 0,
      logger: logger,
      fields: [
        for (final MapEntry(:key, :value) in (fields ?? const {}).entries) (key, _cut(textOf(value))),
      ],
    );
    if (_put((out) => FrameWriter.write(out, line)) != null) _logsDropped++;
  }

  @override
  bool attribute(Context context, String key, String value) =>
      _note(Note(within: context.within, attribute: (key, value)));

  @override
  bool event(Context context, String name, int timeNs, List<(String, String)> attributes) =>
      _note(Note(within: context.within, event: NoteEvent(name, timeNs: timeNs, attributes: attributes)));

  /// Whether there is room for it.
  bool _note(Note note) => !_outbox.isPressed && _put((out) => FrameWriter.write(out, note)) == null;

  /// A call is over: tells how many notes about it were dropped, where the body takes any.
  void tellNotesDropped(Context context) {
    final dropped = context.notesDropped;
    if (dropped > 0 && notesMax > 0) _note(Note(within: context.within, dropped: dropped));
  }

  /// Tells how many lines were dropped, once there is room for more.
  void tellDropped() {
    if (_logsDropped == 0) return;
    final line = '$_logsDropped lines of this process were dropped: they came faster than the body took them';
    _logsDropped = 0;
    _put((out) => FrameWriter.write(out, Log(level: Level.warn, message: line)));
  }

  static String _cut(String text) => text.length <= _logCharactersMax ? text : text.substring(0, _logCharactersMax);
}

/// A call that waits for its turn.
final class _Held {
  _Held(this.call, this.bytes, this.write);

  final SentCall call;

  /// Those of its payload.
  final int bytes;

  final void Function(ByteWriter out, int id) write;
}
