import 'dart:io';

import 'package:cbs/src/version.dart';
import 'package:test/test.dart';

void main() {
  test('the version is that of pubspec.yaml', () {
    expect(File('pubspec.yaml').readAsStringSync(), contains('\nversion: $version\n'));
    expect(File('CHANGELOG.md').readAsStringSync(), contains('## $version'));
  });

  test('libraries only export', () {
    for (final library in Directory('lib').listSync().whereType<File>()) {
      final code = library.readAsLinesSync().where((line) => line.isNotEmpty && !line.startsWith('///'));
      expect(code.where((line) => line != 'library;' && !line.startsWith("export 'src/")), isEmpty);
    }
  });

  test('nothing is depended on', () {
    expect(File('pubspec.yaml').readAsStringSync(), isNot(contains('\ndependencies:')));
  });
}
