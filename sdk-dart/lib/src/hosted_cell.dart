import 'dart:async';
import 'dart:convert';

import 'body_bus.dart';
import 'cell.dart';
import 'cell_env.dart';
import 'cell_exception.dart';
import 'context.dart';
import 'envelope.dart';
import 'handlers.dart';
import 'payload.dart';
import 'text_of.dart';
import 'unwritable_error.dart';
import 'wire/frame.dart' show Level;

/// A cell in its environment, ready to answer. Whatever its handler does, the answer is a reply or an error as data.
final class HostedCell {
  /// A cell with the middleware of all cells around it.
  HostedCell(this.cell, this.env, this._bus, List<Middleware> use) : _handler = wrap(cell.handler, use);

  /// The cell.
  final Cell cell;

  /// Where it lives.
  final CellEnv env;

  final BodyBus _bus;
  final Handler _handler;

  /// The most bytes that message and details of an error have together: a frame's header, less what else is in it.
  static const _errorBytesMax = 62 * 1024;

  /// How long a request may take, in microseconds: what its caller and the cell's spec both grant.
  int grantedUs(Envelope request) {
    final limitUs = env.timeout.inMicroseconds;
    final wantedMs = request.timeoutMs;
    return wantedMs > 0 && wantedMs < limitUs ~/ 1000 ? wantedMs * 1000 : limitUs;
  }

  /// What the caller gets when that time is over.
  CellException late(int grantedUs) =>
      CellException('timeout', 'cell ${cell.name} gave no answer within ${grantedUs ~/ 1000} ms');

  /// Answers at once where the handler does, else in time. Never throws, and its future never fails.
  FutureOr<Envelope> answer(Context context, Envelope request) {
    try {
      final reply = _handler(context, request);
      if (reply is Envelope) return _checked(context, reply);
      return reply.then((reply) => _checked(context, reply),
          onError: (Object error, StackTrace stack) => _failed(context, error, stack));
    } catch (error, stack) {
      return _failed(context, error, stack);
    }
  }

  Envelope _failed(Context context, Object error, StackTrace stack) =>
      error is CellException ? _checked(context, Envelope.error(error)) : _crashed(context, error, stack);

  /// An error whose details JSON cannot hold is the cell's failure; of one that is too large for a frame's header the
  /// details go, and what its message has too many.
  Envelope _checked(Context context, Envelope reply) {
    final told = reply.error;
    if (told == null) return reply;
    try {
      final details = told.details == null ? 0 : Payload.encode(told.details).length;
      final message = utf8.encode(told.message);
      if (message.length + details <= _errorBytesMax) return reply;
      final cut = message.length <= _errorBytesMax
          ? told.message
          : '${utf8.decode(message.sublist(0, _errorBytesMax), allowMalformed: true)} … (cut)';
      return Envelope.error(CellException(told.code, cut, retryable: told.retryable, notRun: told.notRun));
    } catch (error, stack) {
      return _crashed(context, error is UnwritableError ? error.within('details') : error, stack);
    }
  }

  /// The message of what is no [CellException] stays in the body: its log has it, under the request's id.
  Envelope _crashed(Context context, Object error, StackTrace stack) {
    final reason = 'the cell failed: ${textOf(error)}';
    _bus.log(context, Level.error, reason, fields: {'error': error.runtimeType, 'stack': stack});
    return Envelope.error(CellException.cellFailed(context.request.id));
  }
}
