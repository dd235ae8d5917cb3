/// The part of package:test that the tests here use.
library;

export 'package:matcher/expect.dart';
export 'package:test_api/scaffolding.dart';
