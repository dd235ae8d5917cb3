import 'package:cbs/cbs.dart';
import 'package:io_print_greeting_dart/print_greeting.dart';

Future<void> main() => serve([printGreeting]);
