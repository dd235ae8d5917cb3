import 'dart:async';
import 'dart:typed_data';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/session/outbox.dart';
import 'package:cbs/src/session/session.dart';
import 'package:cbs/src/wire/frame.dart';
import 'package:test/test.dart';

import 'support/scripted_body.dart';
import 'support/session.dart';

final _echo = cell('demo.echo', (ctx, input) => input);

void main() {
  group('credit', () {
    test('SIDE-17, SIDE-19: what costs waits for credit, in order, and what is free does not', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          ctx.log.info('one');
          unawaited(ctx.print('two'));
          ctx.log.info('three');
          return 'four';
        }),
      ]);
      await body.welcome(credit: 1);
      body.request(1, null);
      expect((await body.next<Log>()).message, 'one');
      body.say(const Ping(1));
      await body.next<Pong>();
      expect(body.isQuiet, isTrue);
      body.say(Credit(body.cost));
      expect((await body.next<Print>()).line, 'two');
      body.say(const Credit(1 << 20));
      expect((await body.next<Log>()).message, 'three');
      expect(await body.answer(1), 'four');
    });

    test('print completes when its line is on its way', () async {
      final order = <String>[];
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          await ctx.print('one');
          order.add('one');
          await ctx.print('two');
          order.add('two');
          return null;
        }),
      ]);
      await body.welcome(credit: 1);
      body.request(1, null);
      await body.next<Print>();
      body.say(const Ping(1));
      await body.next<Pong>();
      expect(order, ['one']);
      body.say(const Credit(1000));
      await body.next<Print>();
      await body.answer(1);
      expect(order, ['one', 'two']);
    });

    test('the body gets its credit back for what it sends', () async {
      final (body, _) = await session([_echo]);
      final hello = await body.welcome();
      final text = 'x' * 10000;
      for (var id = 1; id <= 500; id++) {
        body.request(id, text);
        await body.answer(id);
      }
      expect(body.given, greaterThan(hello.credit + 4000000));
    });

    test('SIDE-18: credit comes back while what it was given for still runs', () async {
      final (body, _) = await session([cell('demo.echo', (ctx, input) => Completer<void>().future)]);
      await body.welcome();
      for (var id = 1; id <= 100; id++) {
        body.request(id, 'x' * 20000);
      }
      await eventually(() => body.given > 2000000, 'credit');
    });

    test('SIDE-18: credit comes back while replies wait for credit, and what is beyond a bound is refused', () async {
      final (body, _) = await session([cell('demo.echo', (ctx, input) => 'x' * 100000)]);
      await body.welcome(credit: 1);
      const count = 2000;
      for (var id = 1; id <= count; id++) {
        body.request(id, 'y' * 1000);
      }
      // All of it is taken, though the other side gives no credit: two that kept theirs back would wait for ever.
      await eventually(() => body.isSpent && body.given - body.spent > Session.creditBytes ~/ 2, 'credit');
      body.say(const Credit(1 << 40));
      var answered = 0;
      final refused = <CellException>[];
      for (var id = 1; id <= count; id++) {
        final error = (await body.reply(id)).error;
        error == null ? answered++ : refused.add(error);
      }
      expect(answered * 100000, inInclusiveRange(Outbox.repliesBytesMax, Outbox.repliesBytesMax + 1000000));
      expect({for (final error in refused) (error.code, error.retryable, error.notRun)}, {('overloaded', true, true)});
    });

    test('SIDE-12: a call that was given up while it waited for credit is never sent, and not cancelled', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          for (final (cell, ms) in [('a.first', 4000), ('a.second', 20), ('a.third', 4000)]) {
            unawaited(
              ctx.call<Object?>(cell, null, timeout: Duration(milliseconds: ms)).catchError((Object _) => null),
            );
          }
          return ctx.call<Object?>('a.late', null, timeout: const Duration(milliseconds: 30));
        }),
      ]);
      // One place: of two that wait, one waits for credit and the other for its place.
      await body.welcome(credit: 1, inFlightMax: 2);
      body.request(1, null);
      expect(await _target(body), 'a.first');
      body.say(const Ping(1));
      await body.next<Pong>();
      expect(body.isQuiet, isTrue);
      await Future<void>.delayed(const Duration(milliseconds: 60)); // sleep: what must not come has no sign
      expect(body.isQuiet, isTrue, reason: 'no cancel of what was never sent');
      body.say(const Credit(1 << 20));
      final came = [await body.next<Frame>(), await body.next<Frame>()];
      expect(came.map((frame) => frame.runtimeType).toSet(), {Request, Reply});
      expect(ScriptedBody.target(came.whereType<Request>().single), 'a.third');
    });

    test('calls that wait until others are answered are bounded in bytes', () async {
      final refused = Completer<int>();
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          final calls = <Future<void>>[];
          while (!refused.isCompleted && calls.length < 10000) {
            final call = ctx.call<Object?>('a.b', 'x' * 16384).then<void>((_) {}, onError: (Object error) {
              final isOverloaded = error is CellException && error.code == 'overloaded';
              if (isOverloaded && !refused.isCompleted) refused.complete(calls.length);
            });
            calls.add(call);
            await Future<void>.delayed(Duration.zero);
          }
          return null;
        }),
      ]);
      await body.welcome(inFlightMax: 1);
      body.request(1, null);
      final waiting = await refused.future.timeout(ScriptedBody.patience);
      expect(waiting * 16384, inInclusiveRange(Outbox.waitingBytesMax, Outbox.waitingBytesMax + (1 << 20)));
    });

    test('a flood that nobody awaits is refused, one that is awaited waits', () async {
      final refused = Completer<CellException>();
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) async {
          try {
            while (true) {
              final sent = ctx.publish('a.b', 'x' * 16384);
              unawaited(sent.catchError((Object _) {}));
              // The first that is refused says so.
              await Future.any([sent, Future<void>.delayed(Duration.zero)]);
            }
          } on CellException catch (error) {
            refused.complete(error);
          }
          return 'done';
        }),
      ]);
      await body.welcome(credit: 1, inFlightMax: 0);
      body.request(1, null);
      final error = await refused.future;
      expect((error.code, error.retryable, error.notRun), ('overloaded', true, true));
      body.say(const Credit(1 << 40));
      var events = 0;
      while (await body.nextIs<Request>()) {
        events++;
      }
      expect(events * 16384, inInclusiveRange(Outbox.waitingBytesMax ~/ 2, Outbox.waitingBytesMax + (1 << 20)));
    });

    test('log lines beyond what fits are dropped, counted, and told', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) {
          for (var line = 0; line < 1000; line++) {
            ctx.log.info('x' * 16384);
          }
          return input;
        }),
      ]);
      await body.welcome(credit: 1);
      body.request(1, null);
      body.say(const Credit(1 << 40));
      var lines = 0;
      while (await body.nextIs<Log>()) {
        lines++;
      }
      expect(lines, lessThan(1000));
      expect(await body.answer(1), null);
      final told = await body.next<Log>();
      expect(told.level, Level.warn);
      expect(
        told.message,
        '${1000 - lines} lines of this process were dropped: they came faster than the body took them',
      );
    });
  });

  group('the end', () {
    test('SIDE-21: drain waits for what runs, runs the stop hooks, and says goodbye without a reason', () async {
      final gate = Completer<void>();
      final order = <String>[];
      final (body, end) = await session([
        cell(
          'demo.echo',
          (ctx, input) async {
            await gate.future;
            order.add('answered');
            return input;
          },
          onStop: () => order.add('stopped'),
        ),
      ]);
      await body.welcome();
      body
        ..request(1, 'late')
        ..say(const Drain(timeoutMs: 10000))
        ..say(const Ping(1));
      expect((await body.next<Pong>()).inFlight, 1);
      gate.complete();
      expect(await body.answer(1), 'late');
      expect((await body.next<Goodbye>()).reason, '');
      await body.closed();
      expect((await end).status, 0);
      expect(order, ['answered', 'stopped']);
    });

    test('drain waits no longer than the body does, and says what was not done; stop hooks have their time', () async {
      var isStopped = false;
      final (body, end) = await session([
        cell(
          'demo.echo',
          (ctx, input) => Completer<void>().future,
          onStop: () async {
            await Future<void>.delayed(const Duration(milliseconds: 1));
            isStopped = true;
          },
        ),
      ]);
      await body.welcome();
      body
        ..request(1, null)
        // A tenth is the hooks': enough on a machine that has much else to do.
        ..say(const Drain(timeoutMs: 5000));
      expect((await body.next<Goodbye>()).reason, '1 requests were not done in time');
      expect((await end).status, 0);
      expect(isStopped, isTrue);
    });

    test('SIDE-21: a drain without end, and one said twice, are one drain', () async {
      final gate = Completer<void>();
      var stops = 0;
      final (body, end) = await session([
        cell('demo.echo', (ctx, input) => gate.future.then((_) => input), onStop: () => stops++),
      ]);
      await body.welcome();
      body
        ..request(1, 'late')
        // All bits of the number are set: what a body says that waits for ever.
        ..say(const Drain(timeoutMs: -1))
        ..say(const Drain(timeoutMs: 10000))
        ..say(const Ping(1));
      expect((await body.next<Pong>()).inFlight, 1);
      gate.complete();
      expect(await body.answer(1), 'late');
      expect((await body.next<Goodbye>()).reason, '');
      expect((await end).status, 0);
      expect(stops, 1);
    });

    test('SIDE-23: stop hooks run when the body has gone, once and only where the start hook has run', () async {
      for (final isStarted in [true, false]) {
        final stopped = <String>[];
        final (body, end) = await session([
          cell(
            'demo.echo',
            (ctx, input) => input,
            onStart: (env) => isStarted ? null : throw StateError('no'),
            onStop: () => stopped.add('stopped'),
          ),
        ]);
        if (isStarted) {
          await body.welcome();
          body.vanish();
        } else {
          await body.accept();
          body.say(const Welcome(protocol: 1, cells: [CellSpec(name: 'demo.echo')]));
        }
        expect((await end).status, 1);
        expect(stopped, isStarted ? ['stopped'] : isEmpty);
      }
    });

    test('SIDE-12: a cancel of what is no request is answered with goodbye, one that comes too late is not', () async {
      final (body, _) = await session([_echo]);
      await body.welcome();
      body.request(1, null);
      await body.answer(1);
      body
        ..say(const Cancel(1))
        ..say(const Ping(1));
      await body.next<Pong>();
      body.say(const Cancel(2));
      expect((await body.next<Goodbye>()).reason, contains('a cancel of 2'));
    });

    test('SIDE-6: a welcome without a cell is answered with goodbye', () async {
      final (body, _) = await session([_echo]);
      await body.accept();
      body.say(const Welcome(protocol: 1));
      expect((await body.next<Goodbye>()).reason, 'a welcome without a cell');
    });

    test('SIDE-6: a config that is no JSON is answered with goodbye', () async {
      final (body, end) = await session([_echo]);
      await body.accept();
      body.say(
        Welcome(protocol: 1, cells: [CellSpec(name: 'demo.echo', config: Uint8List.fromList('{"a":'.codeUnits))]),
      );
      expect((await body.next<Goodbye>()).reason, startsWith('the config of demo.echo is no JSON'));
      expect((await end).status, 1);
    });

    test('a stop hook that fails or hangs keeps nobody', () async {
      for (final hook in <StopHook>[() => throw StateError('stuck'), () => Completer<void>().future]) {
        final (body, end) = await session([cell('demo.echo', (ctx, input) => input, onStop: hook)]);
        await body.welcome();
        body.say(const Drain(timeoutMs: 100));
        expect((await body.next<Log>()).message, contains('the stop of demo.echo failed'));
        await body.next<Goodbye>();
        expect((await end).status, 0);
      }
    });

    test('SIDE-23: when the body is gone it is over at once', () async {
      final failed = Completer<CellException>();
      final (body, end) = await session([
        cell('demo.echo', (ctx, input) async {
          try {
            return await ctx.call<Object?>('a.b', null);
          } on CellException catch (error) {
            failed.complete(error);
            rethrow;
          }
        }),
      ]);
      await body.welcome();
      body.request(1, null);
      await body.next<Request>();
      body.vanish();
      expect((await end).reason, startsWith('the body is gone'));
      expect((await end).status, 1);
      expect((await failed.future).code, 'unavailable');
    });

    for (final (what, bytes) in <(String, List<int>)>[
      ('an empty frame', [0, 0, 0, 0]),
      ('a frame that is too large', [0x7f, 0xff, 0xff, 0xff]),
      ('bytes that are no protobuf', [0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]),
      ('a kind that is a number', [0, 0, 0, 2, 0x58, 5]),
      ('a frame that only a sidecar sends', [0, 0, 0, 2, 0x1a, 0]),
      ('text in place of frames', 'GET / HTTP/1.1\r\n'.codeUnits),
    ]) {
      test('SIDE-3, SIDE-8: $what is answered with goodbye and a reason', () async {
        final (body, end) = await session([_echo]);
        await body.welcome();
        body.sayBytes(bytes);
        expect((await body.next<Goodbye>()).reason, isNotEmpty);
        await body.closed();
        expect((await end).status, 1);
        expect((await end).reason, isNotEmpty);
      });
    }

    test('SIDE-7: a request that comes before ready is answered with goodbye', () async {
      final (body, _) = await session([_echo]);
      await body.accept();
      body.request(1, null);
      expect((await body.next<Goodbye>()).reason, contains('before ready'));
    });

    test('SIDE-9: a request whose number does not grow is answered with goodbye', () async {
      for (final id in [7, 6, 0]) {
        final (body, _) = await session([_echo]);
        await body.welcome();
        body.request(7, null);
        await body.answer(7);
        body.request(id, null);
        expect((await body.next<Goodbye>()).reason, contains('request $id after request 7'));
      }
    });

    test('SIDE-10: a reply that nothing waits for is answered with goodbye, a late one is not', () async {
      final (body, _) = await session([
        cell('demo.echo', (ctx, input) => ctx.call<Object?>('a.b', null, timeout: const Duration(milliseconds: 10))),
      ]);
      await body.welcome();
      body.request(1, null);
      final call = await body.next<Request>();
      await body.next<Cancel>();
      expect((await body.error(1)).code, 'timeout');
      body
        ..say(Reply(id: call.id, envelope: Envelope.nothing))
        ..say(const Ping(1));
      await body.next<Pong>();
      body.say(Reply(id: call.id, envelope: Envelope.nothing));
      expect((await body.next<Goodbye>()).reason, contains('a reply to ${call.id}'));
    });

    test('SIDE-8: a second welcome is answered with goodbye', () async {
      final (body, _) = await session([_echo]);
      await body.welcome();
      body.say(const Welcome(protocol: 1));
      expect((await body.next<Goodbye>()).reason, 'a second welcome');
    });

    test('SIDE-22: nothing follows a goodbye, on either side', () async {
      final gate = Completer<void>();
      final (body, end) = await session([
        cell('demo.echo', (ctx, input) async {
          await gate.future;
          ctx.log.info('too late');
          return input;
        }),
      ]);
      await body.welcome();
      body
        ..request(1, null)
        ..sayBytes([0, 0, 0, 0])
        ..request(2, null);
      await body.next<Goodbye>();
      gate.complete();
      await body.closed();
      expect(body.isQuiet, isTrue);
      await end;
      final (other, otherEnd) = await session([_echo]);
      await other.welcome();
      other.say(const Goodbye());
      await other.closed();
      expect((await otherEnd).status, 0);
    });

    test('SIDE-4: frames of kinds from the future are passed over', () async {
      final (body, _) = await session([_echo]);
      await body.welcome();
      body
        ..sayBytes([0, 0, 0, 5, 0x82, 1, 2, 8, 1])
        ..request(1, 1);
      expect(await body.answer(1), 1);
    });

    test('SIDE-1: frames of some megabytes pass both ways', () async {
      final (body, _) = await session([
        cell.raw('demo.echo', (ctx, request) => Envelope.reply(request.payload)),
      ]);
      await body.welcome();
      final payload = Uint8List(5000000);
      for (var index = 0; index < payload.length; index++) {
        payload[index] = index % 251;
      }
      for (var id = 1; id <= 3; id++) {
        body.send(id, Envelope(kind: Kind.request, target: Target.cell('demo.echo'), payload: payload));
      }
      for (var id = 1; id <= 3; id++) {
        expect((await body.reply(id)).payload, payload);
      }
    });
  });
}

Future<String> _target(ScriptedBody body) async => ScriptedBody.target(await body.next<Request>());
