/// What cells, flows, topics, namespaces and bodies may be called. Every name is a valid NATS subject token, or
/// several joined by dots, and can become a Kubernetes resource.
abstract final class Names {
  static const _part = '[a-z][a-z0-9_-]{0,62}';
  static final _cell = RegExp('^(?!flow\\.)$_part\\.$_part\$');
  static final _flow = RegExp('^$_part\$');
  static final _topic = RegExp('^$_part(\\.$_part){0,7}\$');
  static final _filter = RegExp('^(?:(?:\\*|$_part)\\.){0,7}(?:\\*|>|$_part)\$');
  static final _namespace = RegExp(r'^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$');
  static final _body = RegExp(r'^[a-z0-9_][a-z0-9_-]{0,62}$');

  /// `organ.cell`, and the organ is not `flow`.
  static bool isCell(String text) => _cell.hasMatch(text);

  /// One part.
  static bool isFlow(String text) => _flow.hasMatch(text);

  /// One to eight parts joined by dots.
  static bool isTopic(String text) => _topic.hasMatch(text);

  /// A topic in which `*` stands for one part and a last `>` for the rest.
  static bool isTopicFilter(String text) => _filter.hasMatch(text);

  /// A DNS label.
  static bool isNamespace(String text) => _namespace.hasMatch(text);

  /// A body's id.
  static bool isBody(String text) => _body.hasMatch(text);

  /// The rule for the names of cells, for people.
  static const cellRule =
      'write `organ.cell`, for example `logic.greet`: two parts of a-z, 0-9, `_` and `-` that start with a letter, '
      'at most 63 bytes each, and the organ is not `flow`';

  /// The rule for topics, for people.
  static const topicRule =
      'write one to eight parts joined by dots, each of a-z, 0-9, `_` and `-` and starting with a letter, '
      'for example `order.created`';

  /// The rule for filters of topics, for people.
  static const filterRule =
      'write a topic in which `*` stands for one part and a last `>` for the rest, for example `order.*` or `order.>`';
}
