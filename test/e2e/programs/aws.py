"""An agent that uses S3 and SQS through boto3, with the placeholder keys of its environment."""
import json
import boto3
from botocore.config import Config

config = Config(region_name="eu-central-1", retries={"max_attempts": 0})
s3 = boto3.client("s3", config=config)
s3.put_object(Bucket="bucket", Key="from python/ü.txt", Body=b"stored")
body = s3.get_object(Bucket="bucket", Key="from python/ü.txt")["Body"].read().decode()
sqs = boto3.client("sqs", config=config)
sent = sqs.send_message(QueueUrl="https://sqs.eu-central-1.amazonaws.com/123/queue", MessageBody="hello")
print(json.dumps({"body": body, "sent": sent["MessageId"]}))
