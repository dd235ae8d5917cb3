/// A value that JSON cannot hold: where it stands, and why.
///
/// It is the author's mistake: the cell fails, and the body's log has this text.
final class UnwritableError extends Error {
  /// Of a value for which there is nothing in JSON.
  UnwritableError(this.reason, [this.path = '']);

  /// Why it cannot be written.
  final String reason;

  /// Where it stands, `orders[2].price`; empty: it is the whole.
  final String path;

  /// The same as it looks from what holds the value, at [place] in it.
  UnwritableError within(String place) => UnwritableError(
        reason,
        path.isEmpty || path.startsWith('[') ? '$place$path' : '$place.$path',
      );

  @override
  String toString() => path.isEmpty ? 'no JSON: $reason' : 'no JSON: `$path`: $reason';
}
