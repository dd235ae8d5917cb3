import 'dart:async';
import 'dart:math';

import '../clock.dart';

/// What must end at a time.
abstract interface class Timed {
  /// When, by [Clock].
  int get dueUs;

  /// It is that time, or later.
  void expire();
}

/// One timer for all deadlines: it is set for the earliest, and looks at what is left when it rings. A call that ends in
/// time costs no timer at all.
final class Deadlines {
  /// Looks at what [pending] gives. What expires must be gone from it, or due later.
  Deadlines(this._pending);

  final Iterable<Timed> Function() _pending;
  Timer? _timer;
  int _ringsUs = 0;

  /// Something new is due then.
  @pragma('vm:prefer-inline')
  void watch(int dueUs) {
    if (_timer == null || dueUs < _ringsUs) _set(dueUs);
  }

  void _set(int dueUs) {
    _timer?.cancel();
    _ringsUs = dueUs;
    // Rounded up: a timer that rings early finds nothing.
    _timer = Timer(Duration(milliseconds: max(0, dueUs - Clock.nowUs + 999) ~/ 1000), _ring);
  }

  void _ring() {
    _timer = null;
    final now = Clock.nowUs;
    for (final timed in _pending().where((timed) => timed.dueUs <= now).toList()) {
      timed.expire();
    }
    int? next;
    for (final timed in _pending()) {
      if (timed.dueUs > now && (next == null || timed.dueUs < next)) next = timed.dueUs;
    }
    if (next != null) watch(next);
  }

  /// Rings no more.
  void stop() => _timer?.cancel();
}
