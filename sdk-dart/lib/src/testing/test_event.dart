/// An event that a cell published in a test.
final class TestEvent {
  /// An event.
  const TestEvent(this.topic, this.value);

  /// Its topic, `order.placed`.
  final String topic;

  /// Its payload, read as JSON.
  final Object? value;

  @override
  String toString() => '$topic $value';
}
