/// What `dart test` runs (it is `dart run test:test`): finds `*_test.dart`, writes one program of them all, runs it.
///
/// Knows of the real one's options `--name`, `--plain-name` (both look for a plain text) and `--reporter expanded`.
library;

import 'dart:io';

import 'package:path/path.dart' as p;

Future<void> main(List<String> arguments) async {
  final names = <String>[];
  final paths = <String>[];
  var verbose = false;
  final rest = arguments.iterator;
  while (rest.moveNext()) {
    final parts = rest.current.split('=');
    String value() => parts.length > 1 ? parts.skip(1).join('=') : (rest.moveNext() ? rest.current : '');
    switch (parts.first) {
      case '-n' || '-N' || '--name' || '--plain-name':
        names.add(value());
      case '-r' || '--reporter':
        verbose = value() == 'expanded';
      case final option when option.startsWith('-'):
        stderr.writeln('dart test: this stand-in does not know $option');
        exit(64);
      case final path:
        paths.add(path);
    }
  }
  final program = File('.dart_tool/test/all_tests.dart')..createSync(recursive: true);
  program.writeAsStringSync(_program(_suites(paths.isEmpty ? ['test'] : paths), names, verbose: verbose));
  final process = await Process.start(
    Platform.resolvedExecutable,
    ['--enable-asserts', '--packages=.dart_tool/package_config.json', program.path],
    mode: ProcessStartMode.inheritStdio,
  );
  exit(await process.exitCode);
}

/// The files of tests in folders, and files as they are.
List<String> _suites(List<String> paths) {
  final found = <String>[];
  for (final path in paths) {
    if (FileSystemEntity.isDirectorySync(path)) {
      final files = Directory(path).listSync(recursive: true).whereType<File>().map((file) => file.path);
      found.addAll(files.where((file) => file.endsWith('_test.dart')));
    } else if (File(path).existsSync()) {
      found.add(path);
    } else {
      stderr.writeln('dart test: no $path');
      exit(64);
    }
  }
  return found..sort();
}

/// A program that runs them all.
String _program(List<String> suites, List<String> names, {required bool verbose}) {
  final folder = p.absolute('.dart_tool/test');
  String literal(String text) => "r'''$text'''";
  return [
    "import 'dart:io';",
    "import 'package:test/runner.dart';",
    for (final (index, suite) in suites.indexed)
      "import '${p.url.joinAll(p.split(p.relative(p.absolute(suite), from: folder)))}' as suite$index;",
    'Future<void> main() async => exit(await runSuites({',
    for (final (index, suite) in suites.indexed) '  ${literal(suite)}: suite$index.main,',
    '}, names: [${names.map(literal).join(', ')}], verbose: $verbose));',
    '',
  ].join('\n');
}
