import 'dart:async';
import 'dart:math';

import '../clock.dart';

/// How late the event loop is: what runs long on it keeps everything else waiting.
final class LagMeter {
  static const _periodUs = 100000;

  Timer? _timer;
  int _tickUs = 0;
  int _worstUs = 0;

  /// Measures from now on.
  void start() {
    _tickUs = Clock.nowUs;
    _timer = Timer.periodic(const Duration(microseconds: _periodUs), (_) {
      _worstUs = max(_worstUs, _late());
      _tickUs = Clock.nowUs;
    });
  }

  /// The worst since it was last taken, in microseconds.
  int take() {
    final worst = max(_worstUs, _late());
    _worstUs = 0;
    return worst;
  }

  int _late() => max(0, Clock.nowUs - _tickUs - _periodUs);

  /// Measures no more.
  void stop() => _timer?.cancel();
}
