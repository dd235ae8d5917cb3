import 'dart:async';
import 'dart:collection';
import 'dart:isolate';

import 'cell_exception.dart';
import 'context.dart';
import 'handlers.dart';

/// Work for another isolate: a top-level or static function of JSON to JSON. It has no context, for that stays where
/// the socket is.
typedef IsolatedHandler = FutureOr<Object?> Function(Object? input);

/// Runs [handler] on isolates of its own, [workers] of them, one call at a time each: for handlers that compute for
/// longer than a millisecond or two, which would keep every other call of the process waiting.
///
/// ```dart
/// Object? primes(Object? input) => …; // top-level
///
/// Future<void> main() => serve([cell('math.primes', isolated(primes, workers: 2))]);
/// ```
///
/// Input and output are copied (some 10 to 20 µs). Up to [queue] calls wait for a worker, others are refused with
/// `overloaded`. A call whose time is over ends its worker, and another takes its place.
JsonHandler isolated(IsolatedHandler handler, {int workers = 1, int queue = 256}) {
  final pool = IsolatePool(handler, workers: workers, queue: queue);
  return pool.call;
}

/// Isolates that run one handler.
final class IsolatePool {
  /// A pool; its isolates are started by the first calls.
  IsolatePool(this._handler, {required int workers, required int queue})
      : _workersMax = workers,
        _queueMax = queue {
    if (workers < 1) throw ArgumentError.value(workers, 'workers', 'one at least');
  }

  final IsolatedHandler _handler;
  final int _workersMax;
  final int _queueMax;
  final _waiting = Queue<_Job>();
  final _idle = <_Worker>[];
  int _workers = 0;

  /// How many calls wait in all pools of this process.
  static int queued = 0;

  /// Answers a call by one of the workers.
  Future<Object?> call(Context context, Object? input) {
    if (_idle.isEmpty && _workers == _workersMax && _waiting.length >= _queueMax) {
      throw CellException(
        'overloaded',
        'cell ${context.env.cell} has no capacity for another call now',
        retryable: true,
        notRun: true,
      );
    }
    final job = _Job(input);
    _waiting.add(job);
    queued++;
    unawaited(context.cancelled.then((_) => _abandon(job)));
    _assign();
    return job.answer.future;
  }

  void _assign() {
    while (_waiting.isNotEmpty) {
      if (_idle.isEmpty && _workers == _workersMax) return;
      final job = _waiting.removeFirst();
      queued--;
      final _Worker worker;
      if (_idle.isEmpty) {
        _workers++;
        worker = _Worker(_handler, onFree: _free, onGone: _gone);
      } else {
        worker = _idle.removeLast();
      }
      job.worker = worker;
      worker.run(job);
    }
  }

  void _free(_Worker worker) {
    _idle.add(worker);
    _assign();
  }

  void _gone(_Worker worker) {
    _workers--;
    _idle.remove(worker);
    _assign();
  }

  /// Nobody waits for it: it does not begin, or what runs it is ended, for nothing else stops a computation.
  void _abandon(_Job job) {
    if (job.answer.isCompleted) return;
    if (_waiting.remove(job)) {
      queued--;
      job.fail(const CellException('timeout', 'no worker was free in time', notRun: true), StackTrace.empty);
    } else {
      job.worker?.end('its call was given up');
    }
  }
}

final class _Job {
  _Job(this.input);

  final Object? input;
  final answer = Completer<Object?>();
  _Worker? worker;

  void fail(Object error, StackTrace stack) {
    if (!answer.isCompleted) answer.completeError(error, stack);
  }
}

/// One isolate, as the pool sees it.
final class _Worker {
  _Worker(IsolatedHandler handler, {required this.onFree, required this.onGone}) {
    _port.handler = _onMessage;
    unawaited(_start(handler));
  }

  final void Function(_Worker worker) onFree;
  final void Function(_Worker worker) onGone;
  final _port = RawReceivePort();
  Isolate? _isolate;
  SendPort? _to;
  _Job? _job;
  bool _isOver = false;

  Future<void> _start(IsolatedHandler handler) async {
    try {
      final isolate = await Isolate.spawn(
        _serve,
        (_port.sendPort, handler),
        onExit: _port.sendPort,
        onError: _port.sendPort,
        debugName: 'cbs worker',
      );
      _isOver ? isolate.kill(priority: Isolate.immediate) : _isolate = isolate;
    } catch (error, stack) {
      // Closures over what cannot be sent: the handler must be top-level or static.
      _over(error, stack);
    }
  }

  void run(_Job job) {
    _job = job;
    _to?.send(job.input);
  }

  /// Messages: a port, once; an answer; an error that ended the isolate; null, it has ended.
  void _onMessage(Object? message) {
    switch (message) {
      case SendPort():
        _to = message;
        if (_job case final job?) message.send(job.input);
      case (true, final Object? output):
        _answered((job) => job.answer.complete(output));
      case (false, final Object error, final String stack):
        _answered((job) => job.fail(error, StackTrace.fromString(stack)));
      case [final String error, final String? stack]:
        _over(RemoteError(error, stack ?? ''), StackTrace.fromString(stack ?? ''));
      default:
        end('its isolate ended');
    }
  }

  void _answered(void Function(_Job job) how) {
    final job = _job;
    _job = null;
    if (job != null && !job.answer.isCompleted) how(job);
    if (!_isOver) onFree(this);
  }

  void end(String reason) => _over(StateError('the worker was ended: $reason'), StackTrace.empty);

  void _over(Object error, StackTrace stack) {
    if (_isOver) return;
    _isOver = true;
    _port.close();
    _isolate?.kill(priority: Isolate.immediate);
    _job?.fail(error, stack);
    onGone(this);
  }
}

/// What runs in the isolate.
void _serve((SendPort, IsolatedHandler) start) {
  final (to, handler) = start;
  final from = RawReceivePort();
  from.handler = (Object? input) async {
    try {
      final output = handler(input);
      to.send((true, output is Future<Object?> ? await output : output));
    } on CellException catch (error, stack) {
      to.send((false, error, '$stack'));
    } catch (error, stack) {
      to.send((false, RemoteError('${error.runtimeType}: $error', '$stack'), '$stack'));
    }
  };
  to.send(from.sendPort);
}
