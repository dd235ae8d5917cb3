import 'dart:convert';
import 'dart:io';

import 'package:cbs/src/wire/frame.dart';
import 'package:test/test.dart';

import 'support/scripted_body.dart';

/// A program that was started, and what it said so far.
final class _Program {
  _Program(this.process) {
    _stdout = process.stdout.transform(utf8.decoder).join();
    _stderr = process.stderr.transform(utf8.decoder).join();
  }

  final Process process;
  late final Future<String> _stdout;
  late final Future<String> _stderr;

  Future<(int, String, String)> get end async =>
      (await process.exitCode.timeout(ScriptedBody.patience), await _stdout, await _stderr);

  /// The most memory that it ever had, in bytes.
  int get peakBytes {
    final status = File('/proc/${process.pid}/status').readAsLinesSync();
    final line = status.firstWhere((line) => line.startsWith('VmHWM:'));
    return int.parse(line.split(RegExp(r'\s+'))[1]) * 1024;
  }
}

void main() {
  late Directory folder;
  late String executable;

  setUpAll(() async {
    folder = await Directory.systemTemp.createTemp('cbs-dart-aot-');
    executable = '${folder.path}/sidecar';
    // The tests may run in the bare machine: its folder holds the tool too.
    final dart = '${File(Platform.resolvedExecutable).parent.path}/dart';
    final compiled = await Process.run(dart, ['compile', 'exe', '-o', executable, 'test/programs/sidecar.dart']);
    expect(compiled.exitCode, 0, reason: '${compiled.stdout}${compiled.stderr}');
  });
  tearDownAll(() => folder.delete(recursive: true));

  Future<_Program> start(Map<String, String> environment) async {
    final program = _Program(await Process.start(executable, const [], environment: environment));
    addTearDown(() => program.process.kill(ProcessSignal.sigkill));
    return program;
  }

  Future<(ScriptedBody, _Program)> started() async {
    final body = await ScriptedBody.listen();
    addTearDown(body.close);
    return (body, await start({'CBS_SIDECAR_SOCKET': body.path}));
  }

  test('without a body: status 64, and how it is run', () async {
    final (status, out, err) = await (await start({'CBS_SIDECAR_SOCKET': ''})).end;
    expect((status, out), (64, ''));
    expect(err, allOf(contains('demo.echo'), contains('CBS_SIDECAR_SOCKET'), contains('cbs up')));
  });

  test('a socket that nobody listens on: status 1, and which', () async {
    final (status, _, err) = await (await start({'CBS_SIDECAR_SOCKET': '${folder.path}/nobody'})).end;
    expect(status, 1);
    expect(err, contains('${folder.path}/nobody'));
  });

  test('a refusal: status 1, and its reason', () async {
    final (body, program) = await started();
    await body.accept();
    body.say(const Goodbye('no such cell'));
    final (status, _, err) = await program.end;
    expect(status, 1);
    expect(err, contains('no such cell'));
  });

  test('drain: status 0, and nothing on stderr', () async {
    final (body, program) = await started();
    await body.welcome();
    body
      ..request(1, 'last')
      ..say(const Drain(timeoutMs: 5000));
    expect(await body.answer(1), 'last');
    await body.next<Goodbye>();
    expect(await program.end, (0, '', ''));
  });

  test('the body is gone: the process ends at once', () async {
    final (body, program) = await started();
    await body.welcome();
    body.vanish();
    final (status, _, err) = await program.end;
    expect(status, 1);
    expect(err, contains('the body is gone'));
  });

  test('garbage: a goodbye with a reason, and status 1', () async {
    final (body, program) = await started();
    await body.welcome();
    body.sayBytes([0xff, 0xff, 0xff, 0xff]);
    final reason = (await body.next<Goodbye>()).reason;
    final (status, _, err) = await program.end;
    expect(status, 1);
    expect(err, contains(reason));
  });

  test('print goes to stdout, ctx.print to the body', () async {
    final (body, program) = await started();
    await body.welcome();
    body.request(1, 'print');
    expect((await body.next<Print>()).line, 'by frame');
    expect(await body.answer(1), 'print');
    body.say(const Drain(timeoutMs: 5000));
    expect((await program.end).$2, 'by print\n');
  });

  test('an error that nobody awaits is logged with its stack, and ends nothing', () async {
    final (body, _) = await started();
    await body.welcome();
    body.request(1, 'careless');
    expect(await body.answer(1), 'careless');
    final line = await body.next<Log>();
    expect(line.level, Level.error);
    expect(line.message, contains('forgotten'));
    body.request(2, 'on');
    expect(await body.answer(2), 'on');
  });

  test('20,000 awaited prints of 16 KiB: memory is bounded', () async {
    final (body, program) = await started();
    await body.welcome(credit: 1 << 20, timeoutMs: 60000);
    body.request(1, 'flood', timeoutMs: 60000);
    var given = 0;
    var lines = 0;
    while (await body.nextIs<Print>()) {
      lines++;
      if (body.cost - given >= 1 << 19) {
        body.say(Credit(body.cost - given));
        given = body.cost;
      }
    }
    expect(lines, 20000);
    expect(program.peakBytes, lessThan(100 << 20));
  }, timeout: const Timeout(Duration(minutes: 2)));

  test('20,000 events of 16 KiB that nobody awaits: refused beyond what fits, memory is bounded', () async {
    final (body, program) = await started();
    await body.welcome(credit: 1 << 20, inFlightMax: 0, timeoutMs: 60000);
    body.request(1, 'careless flood', timeoutMs: 60000);
    while (await body.nextIs<Request>()) {
      body.say(const Credit(16500));
    }
    expect(await body.answer(1), isTrue);
    expect(program.peakBytes, lessThan(100 << 20));
  }, timeout: const Timeout(Duration(minutes: 2)));
}
