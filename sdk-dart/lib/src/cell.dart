import 'dart:async';

import 'envelope.dart';
import 'handlers.dart';
import 'names.dart';
import 'payload.dart';
import 'typed_payload.dart';

/// A cell: a handler behind a name. Made by [cell], `cell.typed` and `cell.raw`.
final class Cell {
  const Cell._(this.name, this.handler, this.onStart, this.onStop);

  /// The name, `organ.cell`.
  final String name;

  /// Answers its requests, middleware and all.
  final Handler handler;

  /// Runs before the first call.
  final StartHook? onStart;

  /// Runs after the last call, also when the body has gone; not where [onStart] failed.
  final StopHook? onStop;
}

/// Makes cells. See [CellForms.call], [CellForms.typed] and [CellForms.raw].
///
/// ```dart
/// cell('logic.shout', (ctx, input) => '$input'.toUpperCase());
/// cell.typed('logic.greet', greet, decode: Name.fromJson);
/// ```
const cell = CellForms._();

/// The ways to write a cell.
///
/// All take [Middleware] (`use`, the first is the outermost) and hooks that run before the first and after the last call.
/// A name that is none is an [ArgumentError].
final class CellForms {
  const CellForms._();

  /// JSON in, JSON out. The input is what `jsonDecode` gives; an empty payload is null.
  Cell call(
    String name,
    JsonHandler handler, {
    List<Middleware> use = const [],
    StartHook? onStart,
    StopHook? onStop,
  }) =>
      raw(
        name,
        (ctx, request) {
          final output = handler(ctx, Payload.decode(request.payload));
          return output is Future<Object?> ? output.then(_reply) : _reply(output);
        },
        use: use,
        onStart: onStart,
        onStop: onStop,
      );

  /// An object in, an object out.
  ///
  /// [decode] makes the input of a JSON map, as `fromJson` constructors do: what it throws for input that does not fit
  /// (a `TypeError`, a `FormatException`, …) is answered with `bad-request` and the path of the field, for which it is
  /// called a second time. [encode] makes JSON of the output; without it the output's `toJson` does.
  Cell typed<I, O>(
    String name,
    TypedHandler<I, O> handler, {
    required I Function(Map<String, dynamic> json) decode,
    Object? Function(O output)? encode,
    List<Middleware> use = const [],
    StartHook? onStart,
    StopHook? onStop,
  }) {
    Envelope reply(O output) => _reply(encode == null ? output : encode(output));
    return raw(
      name,
      (ctx, request) {
        final output = handler(ctx, TypedPayload.input(request.payload, decode));
        return output is Future<O> ? output.then(reply) : reply(output);
      },
      use: use,
      onStart: onStart,
      onStop: onStop,
    );
  }

  /// Envelope in, envelope out: for payloads that are no JSON, and for what needs attributes.
  Cell raw(
    String name,
    Handler handler, {
    List<Middleware> use = const [],
    StartHook? onStart,
    StopHook? onStop,
  }) {
    if (!Names.isCell(name)) throw ArgumentError.value(name, 'name', 'no name of a cell: ${Names.cellRule}');
    return Cell._(name, wrap(handler, use), onStart, onStop);
  }

  static Envelope _reply(Object? output) => Envelope.reply(Payload.encode(output));
}

/// The handler with middleware around it: the first is the outermost.
Handler wrap(Handler handler, List<Middleware> use) => use.reversed.fold(handler, (inner, around) => around(inner));
