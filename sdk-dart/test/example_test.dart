import 'package:cbs/cbs.dart';
import 'package:cbs/testing.dart';
import 'package:test/test.dart';

import '../example/greeting.dart';

void main() {
  test('the example greets, as its config says', () async {
    final body = TestBody(
      [greeter],
      use: [timed],
      config: {
        'logic.greet': {'greeting': 'Ahoy'},
      },
    );
    expect(await body.call<Object?>('logic.greet', {'name': 'Ada'}), {'text': 'Ahoy, Ada!'});
    expect(body.log.single.message, 'answered');
    await expectLater(
      body.call<Object?>('logic.greet', {'name': 'x' * 201}),
      throwsA(isA<CellException>().having((error) => error.code, 'code', 'name.long')),
    );
  });
}
