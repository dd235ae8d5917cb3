import 'dart:async';
import 'dart:isolate';

import 'package:cbs/cbs.dart';
import 'package:cbs/src/isolate_pool.dart';
import 'package:cbs/testing.dart';
import 'package:test/test.dart';

import 'support/session.dart';

Object? _twice(Object? input) => (input! as int) * 2;

Future<Object?> _later(Object? input) async => {'got': input};

Object? _where(Object? input) => Isolate.current.hashCode;

Object? _fails(Object? input) => input == 1 ? throw const CellException('math.odd', 'odd') : throw StateError('secret');

Object? _hangs(Object? input) {
  while (input == 'hang') {}
  return input;
}

Object? _exits(Object? input) => input == 'exit' ? Isolate.exit() : input;

Matcher _throws(String code) => throwsA(isA<CellException>().having((error) => error.code, 'code', code));

void main() {
  TestBody body(IsolatedHandler handler, {int workers = 1, int queue = 256}) =>
      TestBody([cell('math.it', isolated(handler, workers: workers, queue: queue))]);

  test('handlers run elsewhere, and answer', () async {
    expect(await body(_twice).call<Object?>('math.it', 21), 42);
    expect(await body(_later).call<Object?>('math.it', [1]), {
      'got': [1],
    });
    expect(await body(_where).call<Object?>('math.it', null), isNot(Isolate.current.hashCode));
  });

  test('a hundred calls share two workers', () async {
    final twice = body(_twice, workers: 2);
    final answers = await Future.wait([for (var i = 0; i < 100; i++) twice.call<int>('math.it', i)]);
    expect(answers, [for (var i = 0; i < 100; i++) i * 2]);
  });

  test('errors cross as they do elsewhere', () async {
    final failing = body(_fails);
    await expectLater(failing.call<Object?>('math.it', 1), _throws('math.odd'));
    await expectLater(failing.call<Object?>('math.it', 2), _throws('cell-failed'));
    expect(failing.log.single.message, contains('secret'));
    expect('${failing.log.single.fields['stack']}', contains('isolated_test.dart'));
  });

  test('what runs too long is ended, and the next call is answered', () async {
    final hanging = body(_hangs);
    const short = Duration(milliseconds: 50);
    final first = hanging.call<Object?>('math.it', 'hang', timeout: short);
    final second = hanging.call<Object?>('math.it', 'waits', timeout: short);
    await expectLater(first, _throws('timeout'));
    await expectLater(second, _throws('timeout'));
    expect(await hanging.call<Object?>('math.it', 'fine'), 'fine');
    expect(IsolatePool.queued, 0);
  });

  test('an isolate that ends costs its own call', () async {
    final exiting = body(_exits);
    await expectLater(exiting.call<Object?>('math.it', 'exit'), _throws('cell-failed'));
    expect(await exiting.call<Object?>('math.it', 'fine'), 'fine');
  });

  test('more than the queue holds are refused', () async {
    final hanging = body(_hangs, queue: 1);
    // Long enough for all that follows, on a busy machine too.
    const short = Duration(seconds: 2);
    final taken = [
      for (var i = 0; i < 2; i++) hanging.call<Object?>('math.it', 'hang', timeout: short).catchError((_) => null),
    ];
    await eventually(() => IsolatePool.queued == 1);
    await expectLater(hanging.call<Object?>('math.it', 'fine'), _throws('overloaded'));
    await Future.wait(taken);
  });

  test('a handler that cannot be sent fails its calls, and the log says why', () async {
    final port = ReceivePort();
    addTearDown(port.close);
    final captured = body((input) => port.hashCode);
    await expectLater(captured.call<Object?>('math.it', null), _throws('cell-failed'));
    expect(captured.log.single.message, contains('unsendable'));
  });
}
