import 'dart:async';

import 'context.dart';
import 'envelope.dart';
import 'wire/frame.dart' show Level;

/// What a context speaks through: the body behind its socket, or a stand-in in tests.
abstract interface class BodyBus {
  /// Sends a request to another cell or flow, or an event. Answers with a reply; throws a `CellException`.
  Future<Envelope> send(Context context, Envelope request);

  /// Prints a line on the output of the body's program; completes when it is on its way.
  Future<void> print(Context context, String line);

  /// Asks the person at the body's program; null where nobody can be asked.
  Future<String?> ask(Context context, String question);

  /// How many attributes and events of one call are kept; 0: none are.
  int get notesMax;

  /// Says something about a call, for its span: whether there is room for it. Never waits.
  bool attribute(Context context, String key, String value);

  /// Says that something happened in a call, for its span, in nanoseconds since 1970: whether there is room for it.
  bool event(Context context, String name, int timeNs, List<(String, String)> attributes);

  /// Writes a line of the body's log. [context] is null for what belongs to no call.
  void log(Context? context, Level level, String message, {String logger = '', Map<String, Object?>? fields});
}
