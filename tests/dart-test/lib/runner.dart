/// Runs suites one after another in this isolate, over the backend of package:test_api.
library;

import 'dart:async';
import 'dart:io';

import 'package:test_api/backend.dart';

/// Runs suites, each a file's path with its `main`, and gives back the exit status: 0 where all passed, 1 where one
/// failed, 79 where there was none to run.
Future<int> runSuites(Map<String, void Function()> suites, {List<String> names = const [], bool verbose = false}) =>
    _Run(names, verbose: verbose)._all(suites);

final class _Run {
  _Run(this._names, {required bool verbose}) : _verbose = verbose;

  final List<String> _names;
  final bool _verbose;
  int _passed = 0;
  int _failed = 0;
  int _skipped = 0;

  Future<int> _all(Map<String, void Function()> suites) async {
    final watch = Stopwatch()..start();
    for (final MapEntry(key: path, value: main) in suites.entries) {
      final declarer = Declarer();
      // What a suite declares is not run yet.
      declarer.declare(main);
      await _group(Suite(declarer.build(), SuitePlatform(Runtime.vm), path: path), const []);
    }
    final word = _failed > 0
        ? 'FAIL'
        : _passed > 0
            ? 'PASS'
            : 'NONE';
    stdout.writeln('$word: $_passed passed, $_failed failed, $_skipped skipped in ${watch.elapsedMilliseconds} ms');
    if (_failed > 0) return 1;
    return _passed + _skipped > 0 ? 0 : 79;
  }

  Future<void> _group(Suite suite, List<Group> above, [Group? inner]) async {
    final group = inner ?? suite.group;
    final groups = [...above, group];
    if (group.metadata.skip) {
      _skipped += group.testCount;
      return;
    }
    if (!_holdsWanted(group)) return;
    if (group.setUpAll case final setUp? when !await _runs(suite, setUp, groups)) {
      _failed++;
      return;
    }
    for (final entry in group.entries) {
      switch (entry) {
        case Group():
          await _group(suite, groups, entry);
        case Test() when _isWanted(entry):
          await _test(suite, entry, groups);
      }
    }
    if (group.tearDownAll case final tearDown? when !await _runs(suite, tearDown, groups)) _failed++;
  }

  bool _isWanted(GroupEntry test) => _names.every(test.name.contains);

  bool _holdsWanted(Group group) =>
      group.entries.any((entry) => entry is Group ? _holdsWanted(entry) : _isWanted(entry));

  Future<void> _test(Suite suite, Test test, List<Group> groups) async {
    if (test.metadata.skip) {
      _skipped++;
      return;
    }
    final passed = await _runs(suite, test, groups);
    passed ? _passed++ : _failed++;
    if (!passed || _verbose) stdout.writeln('  ${passed ? 'ok  ' : 'FAIL'} ${suite.path}: ${test.name}');
  }

  /// Runs a test, or what stands before or after a group's tests; whether it passed.
  Future<bool> _runs(Suite suite, Test test, List<Group> groups) async {
    final live = test.load(suite, groups: groups);
    live.onMessage.listen((message) => stdout.writeln('    ${message.text}'));
    live.onError.listen((error) {
      stdout.writeln('  ERR  ${suite.path}: ${test.name}\n${error.error}\n${error.stackTrace}');
    });
    // The suite's own zone: an error of the test must not reach this isolate's root handler.
    unawaited(Invoker.guard(live.run) ?? Future<void>.value());
    await live.onComplete;
    return live.state.result.isPassing;
  }
}
