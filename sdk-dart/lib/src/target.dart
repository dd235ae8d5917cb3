import 'names.dart';

/// What an envelope is addressed to: a cell, a flow or a topic.
final class Target {
  const Target._(this.kind, this.name);

  /// One cell answers. Throws a [FormatException] for what is no name of a cell.
  factory Target.cell(String name) => _checked('cell', name, Names.isCell(name), Names.cellRule);

  /// One run of a flow answers. Throws a [FormatException] for what is no name of a flow.
  factory Target.flow(String name) =>
      _checked('flow', name, Names.isFlow(name), 'write one part of a-z, 0-9, `_` and `-`, for example `greeting`');

  /// Whoever subscribed hears it; nobody answers. Throws a [FormatException] for what is no topic.
  factory Target.topic(String name) => _checked('topic', name, Names.isTopic(name), Names.topicRule);

  /// Reads `cell logic.greet`, `flow greeting`, `topic order.created`; a name alone is a cell's.
  factory Target.parse(String text) {
    // Most messages of a process have the same target.
    if (text == _lastText) return _last;
    final space = text.indexOf(' ');
    final name = text.substring(space + 1);
    final target = switch (space < 0 ? 'cell' : text.substring(0, space)) {
      'cell' => Target.cell(name),
      'flow' => Target.flow(name),
      'topic' => Target.topic(name),
      _ => throw FormatException('not a target', text),
    };
    _lastText = text;
    return _last = target;
  }

  static Target _checked(String kind, String name, bool valid, String rule) {
    if (!valid) throw FormatException('`$name` is no name of a $kind: $rule');
    return Target._(kind, name);
  }

  static String _lastText = '';
  static Target _last = const Target._('cell', '');

  /// `cell`, `flow` or `topic`.
  final String kind;

  /// The name without its kind.
  final String name;

  @override
  bool operator ==(Object other) => other is Target && other.kind == kind && other.name == name;

  @override
  int get hashCode => Object.hash(kind, name);

  /// `cell logic.greet`.
  @override
  String toString() => '$kind $name';
}
