import 'dart:async';
import 'dart:collection';
import 'dart:convert';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/wire/frame.dart';
import 'package:test/test.dart';

import 'support/scripted_body.dart';
import 'support/session.dart';

final _echo = cell('demo.echo', (ctx, input) => input);

void main() {
  group('handshake', () {
    test('SIDE-5, SIDE-7: hello tells protocol, names, language and cells; ready follows the start hooks', () async {
      final order = <String>[];
      final hooked = cell('demo.echo', (ctx, input) => input, onStart: (env) async {
        await Future<void>.delayed(Duration.zero);
        order.add('started in ${env.body} as ${env.cell} ${env.revision} ${env.config} ${env.instance}');
      });
      final (body, _) = await session([hooked]);
      final hello = await body.welcome(config: {'greeting': 'Hello'});
      expect(hello.protocol, 1);
      expect(hello.sdk, startsWith('cbs-dart '));
      expect(hello.language, matches(r'^dart \d+\.\d+\.\d+'));
      expect(hello.cells, ['demo.echo']);
      expect(hello.credit, greaterThan(0));
      expect(order, ['started in host-7f3a9c as demo.echo 8c1f02d9 {greeting: Hello} 0']);
    });

    test('a refusal ends it with its reason', () async {
      final (body, end) = await session([_echo]);
      await body.accept();
      body.say(const Goodbye('protocol version 1, this body speaks 2'));
      expect((await end).status, 1);
      expect((await end).reason, contains('this body speaks 2'));
    });

    test('SIDE-6: another protocol than 1 is answered with goodbye', () async {
      final (body, end) = await session([_echo]);
      await body.accept();
      body.say(const Welcome(protocol: 2));
      expect((await body.next<Goodbye>()).reason, contains('protocol version 2'));
      expect((await end).status, 1);
    });

    test('SIDE-6: a cell that is not there is answered with goodbye', () async {
      final (body, end) = await session([_echo]);
      await body.accept();
      body.say(const Welcome(protocol: 1, cells: [CellSpec(name: 'demo.other')]));
      final reason = (await body.next<Goodbye>()).reason;
      expect(reason, allOf(contains('demo.other'), contains('demo.echo')));
      expect((await end).status, 1);
    });

    test('SIDE-7: a start hook that throws ends it with its reason', () async {
      final broken = cell('demo.echo', (ctx, input) => input, onStart: (_) => throw StateError('no tea'));
      final (body, end) = await session([broken]);
      await body.accept();
      body.say(const Welcome(protocol: 1, cells: [CellSpec(name: 'demo.echo')]));
      final line = await body.next<Log>();
      expect({for (final (key, value) in line.fields) key: value}['stack'], contains('session_test.dart'));
      expect((await body.next<Goodbye>()).reason, contains('no tea'));
      expect((await end).status, 1);
    });
  });

  group('requests', () {
    test('JSON is answered with JSON', () async {
      final (body, _) = await session([_echo]);
      await body.welcome();
      final value = {
        'text': 'Zoë 🦀',
        'list': [1, 2.5, null, true],
      };
      body.request(1, value);
      expect(await body.answer(1), value);
    });

    test('SIDE-10: many run at once, and each gets its own answer', () async {
      final gates = <int, Completer<void>>{};
      final slow = cell('demo.echo', (ctx, input) async {
        await (gates[input! as int] = Completer()).future;
        return input;
      });
      final (body, _) = await session([slow]);
      await body.welcome();
      for (var id = 1; id <= 100; id++) {
        body.request(id, id);
      }
      await eventually(() => gates.length == 100);
      for (var id = 100; id >= 1; id--) {
        gates[id]!.complete();
        expect(await body.answer(id), id);
      }
    });

    test('the context tells of the call', () async {
      final seen = cell(
        'demo.echo',
        (ctx, input) => {
          'id': ctx.id,
          'correlation': ctx.correlationId,
          'trace': ctx.traceparent,
          'attempt': ctx.attempt,
          'caller': ctx.caller.cell,
          'config': ctx.config,
          'in time': ctx.remaining <= const Duration(seconds: 3) && ctx.deadline.isAfter(DateTime.now()),
        },
      );
      final (body, _) = await session([seen]);
      await body.welcome(config: {'a': 1});
      body.request(1, null, timeoutMs: 3000, attempt: 2, source: const Source(body: 'b', cell: 'cell shop.cart'));
      expect(await body.answer(1), {
        'id': '01937f00-1234-7abc-8def-0123456789ab',
        'correlation': '01937f00-1234-7abc-8def-0123456789ab',
        'trace': '00-01937f0012347abc8def0123456789ab-8def0123456789a9-00',
        'attempt': 3,
        'caller': 'cell shop.cart',
        'config': {'a': 1},
        'in time': true,
      });
    });

    test('an error of the cell is told as data', () async {
      final failing = cell(
        'demo.echo',
        (ctx, input) => throw const CellException('stock.empty', 'no more tea', retryable: true, details: {'free': 0}),
      );
      final (body, _) = await session([failing]);
      await body.welcome();
      body.request(1, null);
      final error = await body.error(1);
      expect((error.code, error.message, error.retryable), ('stock.empty', 'no more tea', true));
      expect(error.details, {'free': 0});
    });

    for (final (how, handler) in <(String, JsonHandler)>[
      ('throws', (ctx, input) => throw StateError('secret')),
      ('fails later', (ctx, input) => Future<void>.delayed(Duration.zero, () => throw StateError('secret'))),
    ]) {
      test('SIDE-14: a handler that $how: the caller learns nothing, the log everything', () async {
        final (body, _) = await session([cell('demo.echo', handler)]);
        await body.welcome();
        body.request(7, null);
        final line = await body.next<Log>();
        expect((line.level, line.within), (Level.error, 7));
        expect(line.message, contains('secret'));
        expect({for (final (key, value) in line.fields) key: value}['stack'], contains('session_test.dart'));
        final error = await body.error(7);
        expect(error.code, 'cell-failed');
        expect(
          error.message,
          'the cell failed; its body\'s log has the reason under id 01937f00-1234-7abc-8def-0123456789ab',
        );
      });
    }

    test('an error that nobody awaits is logged, and the process goes on', () async {
      final careless = cell('demo.echo', (ctx, input) {
        unawaited(Future<void>.delayed(Duration.zero, () => throw StateError('forgotten')));
        return input;
      });
      final (body, _) = await session([careless]);
      await body.welcome();
      body.request(1, 1);
      expect(await body.answer(1), 1);
      expect((await body.next<Log>()).message, contains('forgotten'));
      body.request(2, 2);
      expect(await body.answer(2), 2);
    });

    test('another cell is not found, an envelope that is none is a bad request', () async {
      final (body, _) = await session([_echo]);
      await body.welcome();
      body.request(1, null, target: 'cell demo.other');
      expect((await body.error(1)).code, 'not-found');
      body.say(Request(id: 2, envelope: Uint8List.fromList([0xCB, 0x02])));
      final error = await body.error(2);
      expect((error.code, error.notRun), ('bad-request', true));
    });

    test('what is no JSON is a bad request', () async {
      final (body, _) = await session([_echo]);
      await body.welcome();
      body.send(1, Envelope(kind: Kind.request, target: Target.cell('demo.echo'), payload: utf8.encode('{"a":')));
      expect((await body.error(1)).code, 'bad-request');
    });

    test('what JSON cannot hold is the failure of the cell, and the log names the place', () async {
      final wrong = {
        'scores': [1, double.nan],
      };
      for (final (handler, place) in <(JsonHandler, String)>[
        ((ctx, input) => wrong, 'scores[1]'),
        ((ctx, input) async => wrong, 'scores[1]'),
        ((ctx, input) => ctx.call<Object?>('demo.other', wrong), 'scores[1]'),
        ((ctx, input) => ctx.publish('demo.happened', wrong), 'scores[1]'),
        ((ctx, input) => throw CellException('demo.wrong', 'wrong', details: wrong), 'details.scores[1]'),
      ]) {
        final (body, _) = await session([cell('demo.echo', handler)]);
        await body.welcome();
        body.request(1, null);
        final line = (await body.next<Log>()).message;
        expect(line, 'the cell failed: no JSON: `$place`: NaN is no number of JSON');
        final error = await body.error(1);
        expect((error.code, error.message.contains('NaN')), ('cell-failed', false));
      }
    });

    test('SIDE-2: a reply larger than the body reads is an error instead', () async {
      final (body, _) = await session([cell('demo.echo', (ctx, input) => 'x' * 2000)]);
      await body.welcome(frameBytesMax: 1000);
      body.request(1, null);
      expect((await body.error(1)).code, 'too-large');
    });

    test('SIDE-15: more than in_flight_max are refused', () async {
      final gate = Completer<void>();
      final (body, _) = await session([cell('demo.echo', (ctx, input) => gate.future)], inFlightMax: 1);
      expect((await body.welcome()).inFlightMax, 1);
      body
        ..request(1, null)
        ..request(2, null);
      final error = await body.error(2);
      expect((error.code, error.retryable, error.notRun), ('overloaded', true, true));
      gate.complete();
      expect(await body.answer(1), null);
    });

    test('raw cells get bytes as they are, and middleware stands around cells', () async {
      final order = <String>[];
      Middleware named(String name) => (inner) => (ctx, request) async {
            order.add('$name in');
            final reply = await inner(ctx, request);
            order.add('$name out');
            return reply;
          };
      final raw = cell.raw(
        'demo.echo',
        (ctx, request) => Envelope.reply(Uint8List.fromList(request.payload), contentType: 'application/octet-stream'),
        use: [named('own')],
      );
      final (body, _) = await session([raw], use: [named('outer'), named('inner')]);
      await body.welcome();
      body.send(
        1,
        Envelope(kind: Kind.request, target: Target.cell('demo.echo'), payload: Uint8List.fromList([0xCB, 1, 2, 255])),
      );
      final reply = await body.reply(1);
      expect(reply.payload, [0xCB, 1, 2, 255]);
      expect(reply.contentType, 'application/octet-stream');
      expect(order, ['outer in', 'inner in', 'own in', 'own out', 'inner out', 'outer out']);
    });
  });

  group('time', () {
    test('SIDE-13: at the deadline the answer is timeout, and the handler is told', () async {
      final told = Completer<bool>();
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          await ctx.cancelled;
          told.complete(ctx.isCancelled);
          return 'too late';
        }),
      ]);
      await body.welcome();
      body.request(1, null, timeoutMs: 30);
      final error = await body.error(1);
      expect((error.code, error.message), ('timeout', 'cell demo.echo gave no answer within 30 ms'));
      expect(await told.future, isTrue);
      body.say(const Ping(5));
      expect((await body.next<Pong>()).inFlight, 0);
      expect(body.isQuiet, isTrue, reason: 'the late answer is not sent');
    });

    test('the time that the spec grants is the most', () async {
      final (body, _) = await session([cell('demo.echo', (ctx, input) => Completer<void>().future)]);
      await body.welcome(timeoutMs: 30);
      body.request(1, null, timeoutMs: 60000);
      expect((await body.error(1)).message, contains('within 30 ms'));
    });

    test('short deadlines ring while a long one waits', () async {
      final (body, _) = await session([cell('demo.echo', (ctx, input) => Completer<void>().future)]);
      await body.welcome(timeoutMs: 3600000);
      body
        ..request(1, null, timeoutMs: 3600000)
        ..request(2, null, timeoutMs: 60)
        ..request(3, null, timeoutMs: 20);
      expect((await body.error(3)).code, 'timeout');
      expect((await body.error(2)).code, 'timeout');
    });

    test('SIDE-12: cancel tells the handler, and its answer is still sent', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          await ctx.cancelled;
          return 'cleaned up';
        }),
      ]);
      await body.welcome();
      body
        ..request(1, null)
        ..say(const Cancel(1))
        ..say(const Cancel(1));
      expect(await body.answer(1), 'cleaned up');
    });

    test('SIDE-20: ping is answered at once, with what runs', () async {
      final gate = Completer<void>();
      final (body, _) = await session([cell('demo.echo', (ctx, input) => gate.future)]);
      await body.welcome(credit: 1);
      body
        ..request(1, null)
        ..request(2, null)
        ..say(const Ping(17));
      final pong = await body.next<Pong>();
      expect((pong.nonce, pong.inFlight, pong.queued), (17, 2, 0));
      gate.complete();
    });

    test('pong tells how late the event loop was', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) {
          final watch = Stopwatch()..start();
          while (watch.elapsedMilliseconds < 250) {}
          return null;
        }),
      ]);
      await body.welcome();
      body
        ..request(1, null)
        ..say(const Ping(1));
      await body.answer(1);
      expect((await body.next<Pong>()).lagUs, greaterThan(100000));
    });
  });

  group('the way out', () {
    test('SIDE-11, SIDE-16: calls carry target, time and where they belong; a plain reply is a payload', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) => ctx.call<String>('logic.greet', {'name': 'Ada'})),
      ]);
      await body.welcome();
      body.request(300, null, timeoutMs: 2000);
      final call = await body.next<Request>();
      expect((call.id, call.within), (1, 300));
      final envelope = ScriptedBody.read(Reply(id: 0, envelope: call.envelope));
      expect((envelope.kind, '${envelope.target}'), (Kind.request, 'cell logic.greet'));
      expect(envelope.timeoutMs, allOf(greaterThan(0), lessThanOrEqualTo(2000)));
      expect(envelope.payload, utf8.encode('{"name":"Ada"}'));
      body.say(Reply(id: 1, envelope: utf8.encode('"Hello, Ada!"')));
      expect(await body.answer(300), 'Hello, Ada!');
    });

    test('the error of a call is thrown, and goes on to the caller', () async {
      final (body, _) = await session([cell('demo.echo', (ctx, input) => ctx.call<Object?>('stock.take', null))]);
      await body.welcome();
      body.request(1, null);
      final call = await body.next<Request>();
      body.say(Reply(id: call.id, envelope: unhexError));
      final error = await body.error(1);
      expect((error.code, error.message), ('stock.empty', 'no more tea'));
    });

    test('a call that gets no answer is cancelled at its time', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          try {
            return await ctx.call<Object?>('slow.one', null, timeout: const Duration(milliseconds: 20));
          } on CellException catch (error) {
            return error.code;
          }
        }),
      ]);
      await body.welcome();
      body.request(1, null);
      final call = await body.next<Request>();
      expect((await body.next<Cancel>()).id, call.id);
      expect(await body.answer(1), 'timeout');
      body
        ..say(Reply(id: call.id, envelope: utf8.encode('1')))
        ..request(2, null);
      expect((await body.next<Request>()).id, 2);
    });

    test('SIDE-16: events, prints, questions and log lines are frames of their own', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          await ctx.publish('order.placed', {'order': 7});
          await ctx.print('Hello');
          ctx.log.named('orders').warn('low', {'left': 2});
          return [await ctx.ask('Who?'), await ctx.ask('Really?')];
        }),
      ]);
      await body.welcome();
      body.request(9, null);
      final event = await body.next<Request>();
      final envelope = ScriptedBody.read(Reply(id: 0, envelope: event.envelope));
      expect((envelope.kind, '${envelope.target}', event.within), (Kind.event, 'topic order.placed', 9));
      body.say(Reply(id: event.id, envelope: Envelope.nothing));
      final print = await body.next<Print>();
      expect((print.line, print.within), ('Hello', 9));
      final line = await body.next<Log>();
      expect((line.level, line.message, line.logger, line.within), (Level.warn, 'low', 'orders', 9));
      expect(line.fields, [('left', '2')]);
      final ask = await body.next<Ask>();
      expect((ask.id, ask.question, ask.within), (2, 'Who?', 9));
      body.say(Reply(id: 2, envelope: utf8.encode('"Ada"')));
      body.say(Reply(id: (await body.next<Ask>()).id, envelope: utf8.encode('null')));
      expect(await body.answer(9), ['Ada', null]);
    });

    test('names that are none are bad requests, and nothing is sent', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) => input == 1 ? ctx.call<Object?>('Bad', null) : ctx.publish('a.*', null)),
      ]);
      await body.welcome();
      for (final id in [1, 2]) {
        body.request(id, id);
        expect((await body.error(id)).code, 'bad-request');
      }
    });

    test('SIDE-9, SIDE-15: more calls than the body takes at once wait here', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) => Future.wait([for (var i = 0; i < 5; i++) ctx.call<Object?>('a.b', i)])),
      ]);
      await body.welcome(inFlightMax: 2);
      body.request(1, null);
      final sent = Queue.of([await body.next<Request>(), await body.next<Request>()]);
      body.say(const Ping(1));
      await body.next<Pong>();
      expect(body.isQuiet, isTrue, reason: 'two are unanswered, the others wait');
      for (var answered = 0; answered < 5; answered++) {
        body.say(Reply(id: sent.removeFirst().id, envelope: utf8.encode('$answered')));
        if (answered < 3) sent.add(await body.next<Request>());
      }
      expect(await body.answer(1), [0, 1, 2, 3, 4]);
    });
  });
}

/// A frame of kind error.
final unhexError = Uint8List.fromList([
  0xCB, 0x01, 0x1E, 0x68, 0x02, 0x72, 0x1A, 0x0A, 0x0B, ...utf8.encode('stock.empty'), 0x12, 0x0B, //
  ...utf8.encode('no more tea'),
]);
