/// What a cell said about one of its calls through `ctx.span`, in a test.
final class TestSpan {
  /// What is so, by its keys.
  final Map<String, String> attributes = {};

  /// What happened, with its attributes, in order.
  final List<(String name, Map<String, String> attributes)> events = [];

  @override
  String toString() => '$attributes $events';
}
