import 'dart:async';

import 'cell_env.dart';
import 'context.dart';
import 'envelope.dart';

/// Answers a request: envelope in, envelope out. What all cells are inside, and what middleware wraps.
typedef Handler = FutureOr<Envelope> Function(Context ctx, Envelope request);

/// Answers JSON with JSON. What it returns may be anything JSON holds, or have a `toJson`.
typedef JsonHandler = FutureOr<Object?> Function(Context ctx, Object? input);

/// Answers an object with an object.
typedef TypedHandler<I, O> = FutureOr<O> Function(Context ctx, I input);

/// A handler around a handler:
///
/// ```dart
/// Middleware timed = (inner) => (ctx, request) async {
///   final watch = Stopwatch()..start();
///   final reply = await inner(ctx, request);
///   ctx.log.debug('answered', {'us': watch.elapsedMicroseconds});
///   return reply;
/// };
/// ```
typedef Middleware = Handler Function(Handler inner);

/// Runs once before the first call. What it throws keeps the cell from serving.
typedef StartHook = FutureOr<void> Function(CellEnv env);

/// Runs once after the last call has been answered.
typedef StopHook = FutureOr<void> Function();
