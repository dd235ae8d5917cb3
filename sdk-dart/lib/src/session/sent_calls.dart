import 'dart:async';

import '../cell_exception.dart';
import '../envelope.dart';
import '../kind.dart';
import '../wire/envelope_reader.dart';
import '../wire/frame.dart';
import '../wire/frame_exception.dart';
import 'deadlines.dart';
import 'outbox.dart';

/// What this process has asked of the body and has no answer to. A call that was given up stays until its answer
/// comes, for the body counts it until then.
final class SentCalls {
  final _calls = <int, SentCall>{};
  int _lastId = 0;
  int _sent = 0;

  /// The most that may be unanswered at once, those that wait to be sent among them.
  static const max = 65536;

  /// How many the body has and has not answered.
  int get sent => _sent;

  /// Those that somebody waits for.
  Iterable<SentCall> get awaited => _calls.values.where((call) => !call.isOver);

  /// A new one. Throws `overloaded` where too many are unanswered.
  SentCall add(String target, int dueUs, void Function(SentCall call) onExpired) {
    if (_calls.length >= max) {
      throw const CellException(
        'overloaded',
        '$max calls of this process have no answer yet: await what you call',
        retryable: true,
        notRun: true,
      );
    }
    final call = SentCall._(++_lastId, target, dueUs, onExpired);
    return _calls[call.id] = call;
  }

  /// It is on its way, or waits as [frame] for credit.
  void markSent(SentCall call, WaitingFrame? frame) {
    call
      ..isSent = true
      ..frame = frame;
    _sent++;
  }

  /// Forgets one that the body has not got.
  void remove(SentCall call) {
    if (_calls.remove(call.id) != null && call.isSent) _sent--;
  }

  /// Forgets one that cannot be sent.
  void fail(SentCall call, CellException error) {
    remove(call);
    call._end((answer) => answer.completeError(error));
  }

  /// The answer to one of them. Throws a [FrameException] for the answer to anything else.
  void complete(Reply frame) {
    final call = _calls[frame.id];
    if (call == null || !call.isSent) throw FrameException('a reply to ${frame.id}, which waits for none');
    remove(call);
    final Envelope reply;
    try {
      reply =
          EnvelopeReader.isFrame(frame.envelope) ? EnvelopeReader.read(frame.envelope) : Envelope.reply(frame.envelope);
    } on FrameException catch (error) {
      final unreadable = CellException('cell-failed', 'the reply of ${call.target} cannot be read: $error');
      return call._end((answer) => answer.completeError(unreadable));
    }
    call._end((answer) {
      if (reply.kind != Kind.error) return answer.complete(reply);
      answer.completeError(reply.error ?? const CellException('internal', 'an error reply without an error'));
    });
  }

  /// The body is gone: nothing will be answered.
  void failAll(String reason) {
    for (final call in _calls.values.toList()) {
      fail(call, CellException('unavailable', '${call.target} cannot be reached: $reason'));
    }
  }
}

/// One of them.
final class SentCall implements Timed {
  SentCall._(this.id, this.target, this.dueUs, this._onExpired);

  /// Its number.
  final int id;

  /// What was called, for people.
  final String target;

  @override
  final int dueUs;

  final void Function(SentCall call) _onExpired;
  final _answer = Completer<Envelope>();

  /// Whether it is on its way, or waits for credit only.
  bool isSent = false;

  /// Its frame, where that had to wait for credit.
  WaitingFrame? frame;

  /// Whether nobody waits for it any more.
  bool get isOver => _answer.isCompleted;

  /// The answer, or a [CellException].
  Future<Envelope> get answer => _answer.future;

  void _end(void Function(Completer<Envelope> answer) how) {
    if (!isOver) how(_answer);
  }

  @override
  void expire() {
    _onExpired(this);
    _end((answer) => answer.completeError(CellException('timeout', '$target gave no answer in time')));
  }
}
