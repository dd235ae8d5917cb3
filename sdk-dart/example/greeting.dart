import 'dart:async';

import 'package:cbs/cbs.dart';

/// Served by a body, by a spec such as
///
/// ```yaml
/// apiVersion: cbs/v1alpha1
/// kind: Cell
/// metadata: { name: logic.greet }
/// spec: { runtime: dart, source: example/greeting.dart, config: { greeting: Hello } }
/// ```
Future<void> main() => serve([greeter], use: [timed]);

/// The cell: a name in, a greeting out.
final greeter = cell.typed('logic.greet', greet, decode: Name.fromJson);

/// What it does. Input that does not fit never comes here.
Greeting greet(Context ctx, Name input) {
  if (input.name.length > 200) throw const CellException('name.long', 'a name has up to 200 letters');
  return Greeting('${ctx.config['greeting'] ?? 'Hello'}, ${input.name}!');
}

/// Middleware: how long each call took, in the body's log.
Handler timed(Handler inner) => (ctx, request) async {
      final watch = Stopwatch()..start();
      final reply = await inner(ctx, request);
      ctx.log.debug('answered', {'us': watch.elapsedMicroseconds, 'caller': ctx.caller});
      return reply;
    };

/// What goes in: `{"name": "Ada"}`.
final class Name {
  /// A name of JSON.
  Name.fromJson(Map<String, dynamic> json) : name = json['name'] as String;

  /// Who is greeted.
  final String name;
}

/// What comes out: `{"text": "Hello, Ada!"}`.
final class Greeting {
  /// A greeting.
  const Greeting(this.text);

  /// A line of text.
  final String text;

  /// The greeting as JSON.
  Map<String, Object?> toJson() => {'text': text};
}
