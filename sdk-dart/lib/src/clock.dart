/// A clock that only goes forward: microseconds since the program first asked.
abstract final class Clock {
  static final _watch = Stopwatch()..start();

  /// Now.
  static int get nowUs => _watch.elapsedMicroseconds;
}
