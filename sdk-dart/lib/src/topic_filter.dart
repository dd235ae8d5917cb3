import 'names.dart';

/// Which topics a subscription hears: a topic in which a part may be `*` (any one part) and the last part `>` (one
/// part or more), as in NATS subjects.
///
/// ```dart
/// TopicFilter('order.>').matches('order.created.eu'); // true
/// TopicFilter('order.>').matches('order'); // false
/// ```
final class TopicFilter {
  /// Throws a [FormatException] for what is no filter.
  TopicFilter(this.text) : _parts = text.split('.') {
    if (!Names.isTopicFilter(text)) throw FormatException('`$text` is no filter of topics: ${Names.filterRule}');
  }

  /// The filter as it was written.
  final String text;
  final List<String> _parts;

  /// Whether an event on [topic] is heard.
  bool matches(String topic) {
    final parts = topic.split('.');
    for (final (index, wanted) in _parts.indexed) {
      if (index >= parts.length) return false;
      if (wanted == '>') return true;
      if (wanted != '*' && wanted != parts[index]) return false;
    }
    return parts.length == _parts.length;
  }

  @override
  String toString() => text;
}
