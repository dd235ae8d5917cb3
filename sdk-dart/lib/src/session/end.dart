/// How a session ended.
final class End {
  /// An end with the process's exit status; [reason] is for stderr, empty after drain.
  const End(this.status, [this.reason = '']);

  /// 0 after drain, 1 else.
  final int status;

  /// Why, in one line.
  final String reason;
}
