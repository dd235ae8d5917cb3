import 'package:cbs/cbs.dart';
import 'package:cbs/testing.dart';
import 'package:io_print_greeting_dart/print_greeting.dart';
import 'package:test/test.dart';

void main() {
  test('a greeting is printed and given back', () async {
    final body = TestBody([printGreeting]);
    final greeting = {'text': 'Hello, Ada!'};
    expect(await body.call<Object?>('io.print_greeting', greeting), greeting);
    expect(body.printed, ['Hello, Ada!']);
  });

  test('what is no greeting is not printed', () async {
    final body = TestBody([printGreeting]);
    await expectLater(
      body.call<Object?>('io.print_greeting', {'txt': 'Hello'}),
      throwsA(isA<CellException>().having((error) => '$error', 'text', 'bad-request: `text`: missing')),
    );
    expect(body.printed, isEmpty);
  });
}
