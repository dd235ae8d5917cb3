import '../cancellation.dart';
import 'deadlines.dart';

/// A request of the body whose handler goes on.
final class RunningCall implements Timed {
  /// A call that [onExpired] answers when its time is over.
  RunningCall(this.id, this.dueUs, this.cancellation, this._onExpired);

  /// The request's number.
  final int id;

  @override
  int dueUs;

  /// Tells the handler.
  final Cancellation cancellation;

  final void Function(RunningCall call) _onExpired;

  /// Whether the body has its answer; the handler may still go on.
  bool isAnswered = false;

  @override
  void expire() {
    isAnswered = true;
    // Never due again.
    dueUs = 1 << 62;
    cancellation.cancel();
    _onExpired(this);
  }
}
