import 'dart:async';

/// Tells a handler that nobody waits for its answer any more.
final class Cancellation {
  Completer<void>? _completer;

  /// Whether it has happened.
  bool isCancelled = false;

  /// Completes when it happens; never with an error.
  Future<void> get future {
    final completer = _completer ??= Completer<void>();
    if (isCancelled && !completer.isCompleted) completer.complete();
    return completer.future;
  }

  /// It happens now; a second time says nothing.
  void cancel() {
    if (isCancelled) return;
    isCancelled = true;
    _completer?.complete();
  }
}
