/// Who sent an envelope: a claim for diagnosis, never authority.
final class Source {
  /// A source; what is not said is empty.
  const Source({this.body = '', this.cell = '', this.revision = ''});

  /// The body's id; empty for programs that are no body.
  final String body;

  /// The cell or flow that made the call, `cell shop.cart` or `flow greeting`; empty in replies.
  final String cell;

  /// The revision of its spec.
  final String revision;

  /// Whether nothing is said.
  bool get isEmpty => body.isEmpty && cell.isEmpty && revision.isEmpty;

  @override
  String toString() => [cell, body].where((part) => part.isNotEmpty).join(' in ');
}
