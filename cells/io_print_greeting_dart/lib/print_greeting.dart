/// The cell `io.print_greeting`: prints a greeting and returns it.
///
/// In and out: `{"text": "Hello, Ada!"}` (`demo/v1/Greeting`). The line goes to the standard output of the program that
/// hosts the cell.
library;

import 'package:cbs/cbs.dart';

/// The greeting: `demo/v1/Greeting`.
final class Greeting {
  /// A greeting of JSON.
  Greeting.fromJson(Map<String, dynamic> json) : text = json['text'] as String;

  /// A line of text.
  final String text;

  /// The greeting as JSON.
  Map<String, Object?> toJson() => {'text': text};
}

/// The cell.
final printGreeting = cell.typed('io.print_greeting', _print, decode: Greeting.fromJson);

Future<Greeting> _print(Context ctx, Greeting greeting) async {
  await ctx.print(greeting.text);
  return greeting;
}
