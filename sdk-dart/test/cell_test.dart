import 'dart:async';

import 'package:cbs/cbs.dart';
import 'package:cbs/testing.dart';
import 'package:test/test.dart';

final class Name {
  Name.fromJson(Map<String, dynamic> json) : name = json['name'] as String;

  final String name;
}

final class Order {
  Order.fromJson(Map<String, dynamic> json)
      : id = json['id'] as int,
        due = DateTime.parse(json['due'] as String),
        lines = [
          for (final line in json['lines'] as List<dynamic>) (line as Map<String, dynamic>)['tea'] as String,
        ];

  final int id;
  final DateTime due;
  final List<String> lines;

  Map<String, Object?> toJson() => {'id': id, 'due': due.toIso8601String(), 'lines': lines};
}

final class Greeting {
  const Greeting(this.text);

  final String text;

  Map<String, Object?> toJson() => {'text': text};
}

/// What says nothing about itself.
final class Mute implements Exception {
  @override
  String toString() => throw StateError('no text');
}

Greeting greet(Context ctx, Name input) => Greeting('Hello, ${input.name}!');

void main() {
  final greeter = cell.typed('logic.greet', greet, decode: Name.fromJson);
  final orders = cell.typed('shop.order', (ctx, Order order) async => order, decode: Order.fromJson);

  Future<CellException> refused(Cell cell, Object? input) async {
    try {
      final output = await TestBody([cell]).call<Object?>(cell.name, input);
      throw StateError('an error was expected, there came $output');
    } on CellException catch (error) {
      return error;
    }
  }

  group('names', () {
    test('a name that is none is an argument error that tells the rule', () {
      for (final name in ['greet', 'Logic.greet', 'flow.greet', 'a.b.c', '']) {
        expect(
          () => cell(name, (ctx, input) => input),
          throwsA(isA<ArgumentError>().having((error) => '$error', 'text', contains('organ.cell'))),
        );
      }
    });
  });

  group('typed cells', () {
    test('objects go in and come out', () async {
      final body = TestBody([greeter, orders]);
      expect(await body.call<Object?>('logic.greet', {'name': 'Ada'}), {'text': 'Hello, Ada!'});
      final order = await body.call(
        'shop.order',
        {
          'id': 7,
          'due': '2030-01-01T00:00:00.000',
          'lines': [
            {'tea': 'green'},
          ],
        },
        decode: (json) => json['lines'],
      );
      expect(order, ['green']);
    });

    test('encode stands in for toJson', () async {
      final shouting = cell.typed(
        'logic.shout',
        greet,
        decode: Name.fromJson,
        encode: (Greeting greeting) => greeting.text.toUpperCase(),
      );
      expect(await TestBody([shouting]).call<String>('logic.shout', {'name': 'Ada'}), 'HELLO, ADA!');
    });

    for (final (input, message, path) in <(Object?, String, String)>[
      (<String, Object?>{}, '`name`: missing', 'name'),
      ({'name': 7}, '`name`: a number where String belongs', 'name'),
      ({'name': null}, '`name`: null where String belongs', 'name'),
      (['Ada'], 'the payload: a list where a map belongs', '.'),
      (null, 'the payload: null where a map belongs', '.'),
    ]) {
      test('$input is a bad request: $message', () async {
        final error = await refused(greeter, input);
        expect((error.code, error.message), ('bad-request', message));
        expect(error.details, {'path': path});
      });
    }

    test('paths lead into lists and maps', () async {
      final error = await refused(orders, {
        'id': 7,
        'due': '2030-01-01',
        'lines': [
          {'tea': 'green'},
          {'tea': true},
        ],
      });
      expect(error.message, '`lines[1].tea`: true or false where String belongs');
    });

    test('a number of the other kind is named', () async {
      final score = cell.typed('a.b', (ctx, double score) => score, decode: (json) => json['score'] as double);
      expect(await TestBody([score]).call<Object?>('a.b', {'score': 1.25}), 1.25);
      final error = await refused(score, {'score': 3});
      expect(error.message, '`score`: an int where double belongs: read it as num, with toDouble()');
      final count = cell.typed('a.b', (ctx, int count) => count, decode: (json) => json['count'] as int);
      expect((await refused(count, {'count': 1.5})).message, '`count`: a double where int belongs');
    });

    test('what cannot be parsed is a bad request too', () async {
      final error = await refused(orders, {'id': 7, 'due': 'tomorrow', 'lines': <Object?>[]});
      expect((error.code, error.message), ('bad-request', '`due`: Invalid date format'));
    });

    test('what decode throws on purpose is the answer; what is its own fault is cell-failed', () async {
      Cell with_(Object error) => cell.typed('a.b', greet, decode: (json) => throw error); // ignore: only_throw_errors
      final meant = await refused(with_(const CellException('name.long', 'at most 200')), {'a': 1});
      expect(meant.code, 'name.long');
      expect((await refused(with_(StateError('secret')), {'a': 1})).code, 'cell-failed');
    });
  });

  group('the test body', () {
    test('other cells are stood in for, or not found', () async {
      final caller = cell('a.caller', (ctx, input) => ctx.call<Object?>('stock.reserve', input));
      final body = TestBody([caller])..standIn('stock.reserve', (ctx, input) => {'reserved': input});
      expect(await body.call<Object?>('a.caller', 3), {'reserved': 3});
      expect((await refused(caller, 3)).code, 'not-found');
    });

    test('cells under test call each other, with the ids of the first call', () async {
      late Context first;
      late Context second;
      final body = TestBody([
        cell('a.first', (ctx, input) => (first = ctx).call<Object?>('a.second', input)),
        cell('a.second', (ctx, input) => (second = ctx).caller.cell),
      ]);
      expect(await body.call<Object?>('a.first', null), 'cell a.first');
      expect(second.correlationId, first.id);
      expect(second.id, isNot(first.id));
      expect(second.remaining, lessThanOrEqualTo(const Duration(seconds: 5)));
      expect(second.traceparent.substring(0, 35), first.traceparent.substring(0, 35));
    });

    test('events are heard by filter', () async {
      final body = TestBody([
        cell('a.b', (ctx, input) async {
          await ctx.publish('order.placed', 1);
          await ctx.publish('order.placed.eu', 2);
          await ctx.publish('stock.low', 3);
          return null;
        }),
      ]);
      await body.call<Object?>('a.b', null);
      Object? heard(String filter) => [for (final event in body.events(filter)) event.value];
      expect(
          (heard('>'), heard('order.>'), heard('order.*'), heard('*.low')).toString(), '([1, 2, 3], [1, 2], [1], [3])');
      expect(() => body.events('order.'), throwsFormatException);
    });

    test('lines, questions and log are recorded, hooks run around', () async {
      final order = <String>[];
      final body = TestBody(
        [
          cell(
            'a.b',
            (ctx, input) async {
              ctx.log.info('asked', {'by': ctx.config['by']});
              final answers = [await ctx.ask('Who?'), await ctx.ask('Who?')];
              await ctx.print('$answers');
              return null;
            },
            onStart: (env) => order.add('start'),
            onStop: () => order.add('stop'),
          ),
        ],
        config: {
          'a.b': {'by': 'test'},
        },
      )..answers.add('Ada');
      await body.call<Object?>('a.b', null);
      await body.close();
      expect(body.printed, ['[Ada, null]']);
      expect(body.questions, ['Who?', 'Who?']);
      expect('${body.log}', '[info: asked {by: test}]');
      expect(order, ['start', 'stop']);
    });

    test('deadlines ring as in a body', () async {
      var told = false;
      final body = TestBody([
        cell('a.b', (ctx, input) {
          unawaited(ctx.cancelled.then((_) => told = true));
          return Completer<void>().future;
        }),
      ]);
      await expectLater(
        body.call<Object?>('a.b', null, timeout: const Duration(milliseconds: 20)),
        throwsA(isA<CellException>().having((error) => error.code, 'code', 'timeout')),
      );
      await Future<void>.value();
      expect(told, isTrue);
    });

    test('what is not meant for callers stays in the log', () async {
      final body = TestBody([cell('a.b', (ctx, input) => throw StateError('secret'))]);
      try {
        await body.call<Object?>('a.b', null);
        fail('an error was expected');
      } on CellException catch (error) {
        expect((error.code, error.message.contains('secret')), ('cell-failed', false));
      }
      expect(body.log.single.message, contains('secret'));
    });

    test('what has no text is told by its class', () async {
      final body = TestBody([cell('a.b', (ctx, input) => throw Mute())]);
      await expectLater(
        body.call<Object?>('a.b', null),
        throwsA(isA<CellException>().having((error) => error.code, 'code', 'cell-failed')),
      );
      expect(body.log.single.message, 'the cell failed: (Mute, whose toString throws)');
    });

    test('an error that is too large for a header loses its details, and what its message has too many', () async {
      final body = TestBody([
        cell('a.details', (ctx, input) => throw CellException('a.b', 'é', retryable: true, details: 'x' * 70000)),
        cell('a.message', (ctx, input) => throw CellException('a.b', 'é' * 70000)),
      ]);
      Future<CellException> error(String name) async {
        try {
          return fail('an error was expected, not ${await body.call<Object?>(name, null)}');
        } on CellException catch (error) {
          return error;
        }
      }

      final details = await error('a.details');
      expect((details.message, details.retryable, details.details), ('é', true, null));
      final message = await error('a.message');
      expect((message.code, message.message.endsWith('é … (cut)')), ('a.b', true));
    });

    test('a reply that does not fit its caller is an internal error', () async {
      final body = TestBody([cell('a.b', (ctx, input) => ctx.call<int>('a.c', null))])
        ..standIn('a.c', (ctx, input) => 'no number');
      await expectLater(
        body.call<Object?>('a.b', null),
        throwsA(isA<CellException>().having((error) => '$error', 'text', contains('the reply of a.c does not fit'))),
      );
    });
  });
}
