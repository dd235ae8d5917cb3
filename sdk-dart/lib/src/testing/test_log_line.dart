/// A line that a cell wrote to the log in a test.
final class TestLogLine {
  /// A line.
  const TestLogLine(this.level, this.message, this.fields);

  /// `error`, `warn`, `info` or `debug`.
  final String level;

  /// The line itself.
  final String message;

  /// What was said beside it.
  final Map<String, Object?> fields;

  @override
  String toString() => '$level: $message${fields.isEmpty ? '' : ' $fields'}';
}
