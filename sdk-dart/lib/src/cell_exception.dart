import 'uuid.dart';

/// An error as data, the same in every language: what a cell answers instead of a payload, and what
/// a call to another cell throws.
///
/// CBS's own codes are `bad-request`, `refused`, `not-found`, `conflict`, `too-large`, `overloaded`,
/// `cell-failed`, `internal`, `unavailable` and `timeout`. A cell's own are of the form `domain.code`:
///
/// ```dart
/// throw CellException('stock.empty', 'no more tea', retryable: true, details: {'free': 0});
/// ```
final class CellException implements Exception {
  /// An error; [message] is one line for a person and leaves the body: no secrets, no stack trace. [details] is JSON.
  const CellException(
    this.code,
    this.message, {
    this.retryable = false,
    this.details,
    this.hasDetails = false,
    this.notRun = false,
  });

  /// The request makes no sense: `bad-request`.
  const CellException.badRequest(String message, {Object? details}) : this('bad-request', message, details: details);

  /// What callers learn of an error that was not meant for them: where to look, and nothing else.
  CellException.cellFailed(Uuid? id)
      : this('cell-failed', 'the cell failed; its body\'s log has the reason under id ${id ?? _nil}');

  static const _nil = '00000000-0000-0000-0000-000000000000';

  /// What kind of error; callers branch on it.
  final String code;

  /// One line for a person.
  final String message;

  /// Whether the same call may succeed a little later.
  final bool retryable;

  /// Anything more, for programs: JSON.
  final Object? details;

  /// Whether [details] are there although they are null.
  final bool hasDetails;

  /// Whether the call was refused before the cell ran: trying again is safe then.
  final bool notRun;

  @override
  String toString() => '$code: $message';
}
