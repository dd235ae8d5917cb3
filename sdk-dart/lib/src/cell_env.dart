/// Environment of a cell, the same for all its calls: known once its process has been welcomed.
final class CellEnv {
  /// Makes the environment of a cell.
  const CellEnv({
    required this.cell,
    this.body = '',
    this.namespace = 'default',
    this.revision = '',
    this.config = const {},
    this.instance = 0,
    this.timeout = const Duration(seconds: 5),
  });

  /// The cell's name, `logic.greet`.
  final String cell;

  /// The body's id.
  final String body;

  /// The body's namespace.
  final String namespace;

  /// The revision of the cell's spec.
  final String revision;

  /// The spec's `config`: JSON that only the cell understands; empty where the spec has none.
  final Map<String, Object?> config;

  /// Which of the cell's processes this one is, from 0.
  final int instance;

  /// The most time that one call may take.
  final Duration timeout;
}
