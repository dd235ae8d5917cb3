import 'dart:async';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/wire/frame.dart';
import 'package:cbs/testing.dart';
import 'package:test/test.dart';

import 'support/scripted_body.dart';
import 'support/session.dart';

final _noter = cell('demo.echo', (ctx, input) async {
  switch (input) {
    case 'both':
      ctx.span
        ..attribute('order.id', 4711)
        ..event('cache miss', {'key': 'orders/4711', 'late': false});
    case 'many':
      for (var n = 0; n < 100; n++) {
        ctx.span.attribute('n', n);
      }
    case 'many and wait':
      for (var n = 0; n < 100; n++) {
        ctx.span.attribute('n', n);
      }
      await Completer<void>().future;
    case 'wait':
      ctx.span.attribute('step', 'before');
      await Completer<void>().future;
  }
  return ctx.span.sampled;
});

void main() {
  group('a body', () {
    test('SIDE-24: gets notes within their request and before its reply', () async {
      final (body, _) = await session([_noter]);
      await body.welcome();
      final before = DateTime.now().microsecondsSinceEpoch * 1000;
      body.request(1, 'nothing');
      expect(await body.answer(1), isFalse);
      body.request(2, 'both');
      final first = await body.next<Note>(), second = await body.next<Note>();
      expect((first.within, first.attribute, first.event), (2, ('order.id', '4711'), null));
      expect((second.within, second.attribute, second.event?.name), (2, null, 'cache miss'));
      expect(second.event?.attributes, [('key', 'orders/4711'), ('late', 'false')]);
      expect(second.event?.timeNs, inInclusiveRange(before, DateTime.now().microsecondsSinceEpoch * 1000));
      expect(await body.answer(2), isFalse);
    });

    test('SIDE-24: gets them while the call waits', () async {
      final (body, _) = await session([_noter]);
      await body.welcome();
      body.request(1, 'wait');
      expect((await body.next<Note>()).attribute, ('step', 'before'));
    });

    test('SIDE-24: gets as many as it takes, and the number of the others', () async {
      for (final most in [64, 5]) {
        final (body, _) = await session([_noter]);
        await body.welcome(notesMax: most);
        body.request(1, 'many');
        for (var n = 0; n < most; n++) {
          expect((await body.next<Note>()).attribute, ('n', '$n'));
        }
        final last = await body.next<Note>();
        expect((last.within, last.attribute, last.event, last.dropped), (1, null, null, 100 - most));
        expect(await body.answer(1), isFalse);
      }
    });

    test('SIDE-24: gets the number of the others at the deadline too', () async {
      final (body, _) = await session([_noter]);
      await body.welcome(notesMax: 1);
      body.request(1, 'many and wait', timeoutMs: 30);
      expect((await body.next<Note>()).attribute, ('n', '0'));
      expect((await body.next<Note>()).dropped, 99);
      expect((await body.error(1)).code, 'timeout');
    });

    test('SIDE-24: that knows no notes gets none', () async {
      final (body, _) = await session([_noter]);
      await body.welcome(notesMax: 0);
      body
        ..request(1, 'both')
        ..request(2, 'many');
      expect(await body.answer(1), isFalse);
      expect(await body.answer(2), isFalse);
    });

    test('SIDE-24: that gives no credit holds up no handler, and gets the notes later', () async {
      final (body, _) = await session([_noter]);
      await body.welcome(credit: 1);
      body.request(1, 'both');
      expect((await body.next<Note>()).attribute, ('order.id', '4711'));
      body
        ..say(const Ping(1))
        ..say(const Ping(2));
      await body.next<Pong>();
      await body.next<Pong>();
      expect(body.isQuiet, isTrue, reason: 'the credit is spent');
      body.say(const Credit(1 << 20));
      expect((await body.next<Note>()).event?.name, 'cache miss');
      expect(await body.answer(1), isFalse);
    });

    test('a sampled trace is told to the cell, and left to the body for the calls of the cell', () async {
      final calls = cell('demo.echo', (ctx, input) async {
        final answer = await ctx.call<bool>('demo.other', null);
        return [ctx.span.sampled, ctx.traceparent, answer];
      });
      final (body, _) = await session([calls]);
      await body.welcome();
      body.send(
        1,
        Envelope(
          kind: Kind.request,
          id: ScriptedBody.requestId,
          target: Target.parse('demo.echo'),
          trace: Trace.parse('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
          attempt: 1,
          timeoutMs: 5000,
          payload: Payload.encode(null),
        ),
      );
      final asked = await body.next<Request>();
      expect(asked.within, 1, reason: 'the body knows the trace by the request');
      body.say(Reply(id: asked.id, envelope: Payload.encode(true)));
      const traceparent = '00-0af7651916cd43dd8448eb211c80319c-8def0123456789aa-01';
      expect(await body.answer(1), [true, traceparent, true]);
    });
  });

  group('a test body', () {
    test('tells what a cell said about each of its calls', () async {
      final body = TestBody([_noter]);
      expect(body.spans('demo.echo'), isEmpty);
      await body.call<Object?>('demo.echo', 'both');
      await body.call<Object?>('demo.echo', 'nothing');
      final [said, nothing] = body.spans('demo.echo');
      expect(said.attributes, {'order.id': '4711'});
      final [(name, attributes)] = said.events;
      expect(name, 'cache miss');
      expect(attributes, {'key': 'orders/4711', 'late': 'false'});
      expect(nothing.attributes, isEmpty);
      expect(nothing.events, isEmpty);
    });

    test('a sampled trace stays so through a cell to its own calls', () async {
      final body = TestBody([
        cell('demo.outer',
            (ctx, input) async => [ctx.traceparent, ...await ctx.call<List<Object?>>('demo.inner', null)]),
        cell('demo.inner', (ctx, input) => [ctx.span.sampled, ctx.span.traceparent]),
      ]);
      final reply = await body.send(
        Envelope(
          kind: Kind.request,
          id: ScriptedBody.requestId,
          target: Target.parse('demo.outer'),
          trace: Trace.parse('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'),
          attempt: 1,
          payload: Payload.encode(null),
        ),
      );
      final [outer, sampled, inner] = Payload.decode(reply.payload)! as List<Object?>;
      expect(outer, '00-0af7651916cd43dd8448eb211c80319c-8def0123456789aa-01');
      expect(sampled, isTrue);
      expect(inner, allOf(startsWith('00-0af7651916cd43dd8448eb211c80319c-'), endsWith('-01'), isNot(outer)));
    });
  });

  group('texts', () {
    test('whatever an author says becomes one, and throws nothing', () {
      expect(Span.text(double.nan), 'NaN');
      expect(Span.text(const Duration(seconds: 1)), '0:00:01.000000');
      expect(Span.text(_Written()), 'by toJson');
      expect(Span.text(_Stubborn()), '(_Stubborn)');
      final looped = <Object?>[];
      looped.add(looped);
      expect(Span.text(looped), '[[...]]');
    });

    test('are cut to 1,024 bytes, and no character is halved', () {
      expect(Span.text('x' * 5000), 'x' * 1024);
      expect(Span.text('é' * 5000), 'é' * 512);
      expect(Span.text('x${'€' * 5000}'), 'x${'€' * 341}');
      expect(Span.text('xx${'🦀' * 5000}'), 'xx${'🦀' * 255}');
      expect(Span.text('€' * 341), '€' * 341);
      expect(Span.text('€' * 342), '€' * 341);
    });
  });
}

final class _Written {
  String toJson() => 'by toJson';
}

final class _Stubborn {
  @override
  String toString() => throw StateError('no text');
}
